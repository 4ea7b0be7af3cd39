package deflate

import "sync"

const (
	// chunkSize is how many bytes are compressed to one block at most.
	chunkSize = 32 << 10

	// maxTable is the number of buckets of the largest table of an encoder.
	maxTable = 1 << 13

	// shortMessage is the size in bytes of a message up to which an encoder compresses it better, by
	// itself and in the same time, than package flate does at its fast level.
	shortMessage = 2 << 10

	fastLevel    = 1
	defaultLevel = 6 // what flate.DefaultCompression stands for
	huffmanOnly  = -2
)

// An encoder compresses data (RFC 1951) that refers back to earlier data, no farther than a window
// of any size. Package flate has one size of window, and takes longer to begin with a dictionary
// than to compress a short message.
type encoder struct {
	blockWriter
	matcher   matcher
	level     int
	from      int // the first byte of matcher.data that is not compressed yet
	sequences []sequence
	data      []byte           // memory for matcher.data
	table     [maxTable]bucket // memory for matcher.table
	chains    *chains          // memory for matcher.chains, nil until it is needed
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// newEncoder returns an encoder, which must be released.
func newEncoder() *encoder {
	e := encoders.Get().(*encoder) //nolint:errcheck // it is
	e.out, e.bits, e.n = e.out[:0], 0, 0
	return e
}

func (e *encoder) release() {
	e.matcher = matcher{}
	if cap(e.out) > 2*chunkSize {
		e.out = nil
	}
	encoders.Put(e)
}

// outputs has memory for results that are in use when their encoder is not needed any more.
var outputs = sync.Pool{New: func() any { return new([]byte) }}

// use releases the encoder, and calls f with what it has written: f may wait for the peer.
func (e *encoder) use(f func(p []byte) error) error {
	o := outputs.Get().(*[]byte) //nolint:errcheck // it is
	*o, e.out = e.out, *o
	e.release()
	err := f(*o)
	if cap(*o) <= 2*chunkSize {
		outputs.Put(o)
	}
	return err
}

// begin begins to compress what comes after past, of which at most the last window bytes are
// referred to. expected is the size of what comes, in bytes, or a guess.
func (e *encoder) begin(past []byte, window, level, expected int) {
	past = past[max(0, len(past)-window):]
	if e.data == nil {
		e.data = make([]byte, windowSize+chunkSize)
	}
	e.level = level
	if level < 0 && level != huffmanOnly {
		e.level = defaultLevel
	}
	e.from = copy(e.data, past)
	e.matcher = matcher{data: e.data[:e.from], window: window}
	switch {
	case e.level == huffmanOnly:
	case e.level <= fastLevel:
		size := maxTable
		for size > 32 && size >= len(past)+expected {
			size /= 2
		}
		e.matcher.patience, e.matcher.table = fastPatience, e.table[:size]
		if len(past) == 0 && expected <= shortMessage {
			e.matcher.patience = minMatch // a look at the next byte spares 0.1 % of 1 KiB
		}
		clear(e.matcher.table)
		e.matcher.enter(0, e.from, 2)
	default:
		if e.chains == nil {
			e.chains = new(chains)
		}
		clear(e.chains.heads[:])
		e.chains.depth = chainDepth[e.level]
		e.matcher.patience, e.matcher.chains = maxCopy, e.chains
		e.matcher.enter(0, e.from, 1)
	}
}

// compress compresses p, but may leave some of it to the next call.
func (e *encoder) compress(p []byte) {
	for len(p) > 0 {
		if len(e.matcher.data)-e.from == chunkSize {
			e.endChunk()
		}
		n := min(len(p), chunkSize-(len(e.matcher.data)-e.from))
		e.matcher.data = append(e.matcher.data, p[:n]...) // within the memory of data
		p = p[n:]
	}
}

// endChunk compresses what is left, and drops what is out of reach then.
func (e *encoder) endChunk() {
	m := &e.matcher
	e.compressTo(len(m.data))
	if out := len(m.data) - m.window; out > 0 {
		m.data = m.data[:copy(m.data, m.data[out:])]
		m.base += uint16(out) //nolint:gosec // modulo 1<<16
		e.from -= out
	}
}

// compressTo writes a block of what is left up to an index of matcher.data.
func (e *encoder) compressTo(to int) {
	if e.from == to {
		return
	}
	if e.level == huffmanOnly {
		e.sequences = appendLiterals(e.sequences[:0], to-e.from)
	} else {
		e.sequences = e.matcher.match(e.sequences[:0], e.from, to)
	}
	e.block(e.sequences, e.matcher.data[e.from:to])
	e.from = to
}

// end ends the message, without Tail.
func (e *encoder) end() {
	e.endChunk()
	e.flush()
}

// CompressAlone compresses a message by itself, so that no copy reaches back more than
// 1<<windowBits bytes. Otherwise it does what Compress does.
func CompressAlone(p []byte, level, windowBits int, use func(p []byte) error) error {
	if windowBits == MaxWindowBits && (level != fastLevel || len(p) > shortMessage) {
		return Compress(p, level, use)
	}
	e := newEncoder()
	e.begin(nil, 1<<windowBits, level, len(p))
	e.compress(p)
	e.end()
	return e.use(use)
}
