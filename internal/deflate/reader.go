package deflate

import (
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

const (
	// Tail is what a sender removes from the end of a compressed message, and a receiver adds
	// (RFC 7692, 7.2.1 and 7.2.2).
	Tail = "\x00\x00\xff\xff"

	// maxFinalBlocks is how many final blocks a message may have. Two bytes make one, and to
	// continue after it costs more than they do.
	maxFinalBlocks = 256

	// outSize is the size in bytes of the memory for output that is not kept: a window, and as
	// much of new output.
	outSize = 2 * windowSize

	// tablesSize is what the tables of the codes take, in bytes.
	tablesSize = 8 << 10
)

// A Source is a compressed message that arrives in pieces. Its Read ends in io.EOF, which it does
// not wrap.
type Source interface {
	io.Reader
	// HasMore reports whether the next Read returns without waiting for the peer.
	HasMore() bool
}

// A Reader inflates one message, which is in memory or arrives in pieces. The output is lent. If
// the next Read of the Source would wait for the peer, and the message is too small so far for the
// memory that the Reader has, it keeps no more than a window of the output, and builds the tables
// of the codes again later. One goroutine at a time may use it.
type Reader struct {
	source Source // nil: src is the rest of the message, without its tail
	src    []byte // input that is not used yet

	inflater    inflater
	finalBlocks int  // of the message, so far
	whole       bool // src is the rest of the message, with its tail
	ended       bool

	out     bufpool.Buffer // the output: all of it, or its end, a window at least
	initial int            // bytes of memory that out has at first
	total   int            // bytes of output
	keepAll bool           // all output is kept, for Take
	past    *ReceiveWindow // nil: the message was compressed by itself

	in [1 << 10]byte // memory for src, more than the header of a block takes
}

var readers = sync.Pool{New: func() any { return new(Reader) }}

// NewReader returns a Reader of a message that arrives in pieces. With keepAll, it keeps all output
// for Take. A window has the context that the message was compressed with, and gets the message
// when that ends; nil means that there is none. Close must be called in any case.
func NewReader(source Source, keepAll bool, past *ReceiveWindow) *Reader {
	z := readers.Get().(*Reader) //nolint:errcheck // it is
	z.source, z.keepAll, z.initial = source, keepAll, outSize
	z.past, z.inflater.past = past, past
	return z
}

// NewBytesReader returns a Reader of the message p, which has no tail. It keeps all output for
// Take. Close must be called in any case, before p is changed. Otherwise it does what NewReader does.
func NewBytesReader(p []byte, past *ReceiveWindow) *Reader {
	z := readers.Get().(*Reader) //nolint:errcheck // it is
	z.src, z.keepAll, z.initial = p, true, 4*len(p)
	z.past, z.inflater.past = past, past
	return z
}

// Close releases all memory. The Reader must not be used any more.
func (z *Reader) Close() {
	z.inflater.forget()
	z.out.Release()
	*z = Reader{}
	readers.Put(z)
}

// Abandon releases the output and the tables, if the Source calls it within its Read, which then
// fails.
func (z *Reader) Abandon() {
	z.inflater.forget()
	z.out.Release()
}

// HoldsMemory reports whether the Reader has memory for output or tables.
func (z *Reader) HoldsMemory() bool { return z.out.Memory != nil || z.inflater.own != nil }

// Take returns all output, which the caller must release. The Reader was made to keep it.
func (z *Reader) Take() (out bufpool.Buffer) {
	if z.out.Memory == nil {
		z.out.Memory = bufpool.Get(0)
	}
	out, z.out = z.out, bufpool.Buffer{}
	return out
}

// Next returns the next part of the output, which is valid until the next call. At the end it
// returns nothing, and io.EOF. For data that can't be inflated the error is wire.ErrCorrupt. All
// other errors are errors of the Source. Output may come with an error that is not io.EOF.
func (z *Reader) Next() ([]byte, error) {
	for !z.ended {
		if z.inflater.stage == atEnd {
			if err := z.continueAfterFinal(); err != nil {
				return nil, err
			}
			continue
		}
		if z.out.Memory == nil || !z.keepAll { // otherwise out grows only when it is full
			z.makeRoom()
		}
		n, used, err := z.inflater.run(*z.out.Memory, z.out.Len, z.src)
		p := (*z.out.Memory)[z.out.Len:n]
		z.src = z.src[used:]
		z.out.Len = n
		z.total += len(p)
		full := n == len(*z.out.Memory)
		switch {
		case err != nil, len(p) > 0:
			return p, err
		case z.inflater.stage == atEnd:
		case !z.whole && (len(z.src) == 0 || !full):
			if err := z.fetch(); err != nil {
				return nil, err
			}
		case z.inflater.betweenBlocks() && len(z.src) == 0:
			z.ended = true
		case full:
			z.makeRoom()
		default:
			return nil, wire.ErrCorrupt // the message ends within a block
		}
	}
	if z.past != nil {
		z.past.enter(z.window())
		z.past = nil
	}
	return nil, io.EOF
}

// continueAfterFinal continues after a final block, if there is more: a sender may use BFINAL
// within a message (RFC 7692, 7.2.3.4). One that uses it at the end need not add the byte that
// makes a block of the tail, and the tail may be the end of that final block.
func (z *Reader) continueAfterFinal() error {
	left := z.inflater.left() + len(z.src)
	if !z.whole && left <= len(Tail) {
		return z.fetch()
	}
	z.finalBlocks++
	switch {
	case left == 0, left == len(Tail):
		z.ended = true
	case left < len(Tail), z.finalBlocks > maxFinalBlocks:
		return wire.ErrCorrupt
	default:
		z.inflater.restart()
	}
	return nil
}

// makeRoom makes room in out for more output.
func (z *Reader) makeRoom() {
	size := 0
	if z.out.Memory != nil {
		size = len(*z.out.Memory)
	}
	switch {
	case z.out.Len < size && (z.keepAll || size >= outSize):
	case z.keepAll:
		z.out.Grow(max(z.initial, 2*z.out.Len))
	case size < outSize:
		z.out.Grow(outSize)
	default:
		z.out.Len = copy(*z.out.Memory, z.window())
	}
}

// window returns the output that must be kept, because a copy may reach it.
func (z *Reader) window() []byte {
	p := z.out.Bytes()
	if z.keepAll {
		return p
	}
	return p[max(0, len(p)-windowSize):]
}

// fetch reads more of the message into src, or adds its tail. If it has to wait for the peer, it
// first releases memory.
func (z *Reader) fetch() error {
	n := copy(z.in[:], z.src)
	z.src = z.in[:n] // also if a handler panics that the Read below calls
	if z.source != nil {
		if bufpool.MaxKept(z.total) < z.held() && !z.source.HasMore() {
			z.shrink()
		}
		m, err := z.source.Read(z.in[n : len(z.in)-len(Tail)])
		n += m
		z.src = z.in[:n]
		if err != io.EOF { //nolint:errorlint // a wrapped one is no end
			return err
		}
	}
	z.whole = true
	n += copy(z.in[n:], Tail)
	z.src = z.in[:n]
	return nil
}

// held returns how many bytes of memory the Reader has that shrink could release.
func (z *Reader) held() int {
	if z.out.Memory == nil {
		return tablesSize
	}
	return tablesSize + len(*z.out.Memory)
}

// shrink releases all memory except a window.
func (z *Reader) shrink() {
	z.inflater.forget()
	var kept bufpool.Buffer
	if window := z.window(); len(window) > 0 {
		_, _ = kept.Write(window) // to memory
	}
	z.out.Release()
	z.out = kept
}
