package websocket

import (
	"bytes"
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/klauspost/compress/flate"
)

// maxInflated is how long a compressed frame may be on the wire, in bytes, to be
// inflated when it has come whole. Gorilla inflates longer ones as they come.
const maxInflated = 64 << 10

// deflateTail is what a sender takes from the end of a message, and a receiver
// adds (RFC 7692, 7.2.1 and 7.2.2).
const deflateTail = "\x00\x00\xff\xff"

// maxLasts is how many last blocks a message may have: two bytes make one, and going on
// after it costs more than they do.
const maxLasts = 256

var inflations = sync.Pool{New: func() any { return new(inflation) }}

// inflated reads a payload and inflates it.
func (t *transport) inflated(h wire.Header, validate, lend bool) ([]byte, error) {
	a := newArrival(int(h.Length), true)
	defer a.end()
	if err := t.payload(a, h.Key, false); err != nil {
		return nil, err
	}
	in := a.lend()
	defer in.Release()
	_, _ = in.Write([]byte(deflateTail)) // to memory
	return t.inflate(in.Bytes(), validate, lend)
}

// inflate returns the message whose compressed form, with its tail, p is.
func (t *transport) inflate(p []byte, validate, lend bool) ([]byte, error) {
	out := bufpool.Buffer{Memory: bufpool.Get(4 * len(p))}
	defer out.Release()
	err := inflateAll(p, &out, t.limit.Load())
	var text wire.UTF8Validator
	switch {
	case validate && !text.Valid(out.Bytes()):
		return nil, wire.ErrInvalidText
	case err != nil:
		return nil, err
	case validate && !text.Complete():
		return nil, wire.ErrInvalidText
	}
	if !lend {
		return bytes.Clone(out.Bytes()), nil
	}
	t.lent.Release()
	t.lent, out = out, bufpool.Buffer{}
	return t.lent.Bytes(), nil
}

// inflateAll inflates a message with its tail to as much memory as it needs, but not to
// more than limit bytes where that is not 0 or less.
func inflateAll(p []byte, out *bufpool.Buffer, limit int64) error {
	f := inflations.Get().(*inflation) //nolint:errcheck // it is
	defer func() {
		f.forget()
		*f = inflation{}
		inflations.Put(f)
	}()
	for lasts := 0; ; {
		_ = out.Tail() // there is some now
		room := *out.Memory
		if limit > 0 && limit < int64(len(room)) {
			room = room[:limit+1]
		}
		n, used, err := f.run(room, out.Len, p)
		p = p[used:]
		out.Len = n
		switch {
		case limit > 0 && int64(n) > limit:
			return wire.ErrTooBig
		case err != nil:
			return err
		case f.betweenBlocks() && len(p) == 0:
			return nil
		case f.stage != atEnd && n < len(room): // it has no end
			return wire.ErrCorrupt
		case f.stage != atEnd:
			continue
		}
		lasts++
		switch err := afterLast(lasts, f.left()+len(p)); {
		case err == io.EOF: //nolint:errorlint // it is bare
			return nil
		case err != nil:
			return err
		}
		f.restart()
	}
}

// afterLast tells from the number of last blocks and of the bytes behind them
// whether the message ends: a sender may end blocks for good within a message (RFC
// 7692, 7.2.3.4). One that does at its end need not add the byte which makes a block
// of the tail, and the tail may be the end of that last block.
func afterLast(lasts, left int) error {
	switch {
	case left == 0, left == len(deflateTail):
		return io.EOF
	case left < len(deflateTail), lasts > maxLasts:
		return wire.ErrCorrupt
	default:
		return nil
	}
}

// A deflater deflates whole messages.
type deflater struct {
	w   *flate.Writer
	out bufpool.Buffer
}

// deflaters are pools by level, of which flate.HuffmanOnly is the lowest.
var deflaters [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// writeDeflated writes a message in one frame, compressed.
func (t *transport) writeDeflated(b *bound, opcode byte, p []byte, level int) error {
	return deflated(p, level, func(p []byte) error { return t.writeFrame(b, opcode|wire.BitRSV1, p) })
}

// deflated calls use with a message's compressed form, whose memory is used again.
func deflated(p []byte, level int, use func(p []byte) error) error {
	pool := &deflaters[level-flate.HuffmanOnly]
	f, ok := pool.Get().(*deflater)
	if !ok {
		w, err := flate.NewWriter(nil, level)
		if err != nil {
			return err
		}
		f = &deflater{w: w}
	}
	defer pool.Put(f)
	f.out = bufpool.Buffer{Memory: bufpool.Get(len(p))}
	defer f.out.Release()
	f.w.Reset(&f.out)
	_, _ = f.w.Write(p) // to memory
	_ = f.w.Flush()
	return use(bytes.TrimSuffix(f.out.Bytes(), []byte(deflateTail)))
}
