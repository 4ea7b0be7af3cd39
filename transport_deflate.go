package websocket

import (
	"bytes"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// maxInflated is how long a compressed frame may be on the wire, in bytes, to be
// inflated when it has come whole. Gorilla inflates longer ones as they come.
const maxInflated = 64 << 10

// inflated reads a payload and inflates it.
func (t *transport) inflated(h wire.Header, validate, lend bool) ([]byte, error) {
	a := newArrival(int(h.Length), true)
	defer a.end()
	if err := t.payload(a, h.Key, false); err != nil {
		return nil, err
	}
	in := a.lend()
	defer in.Release()
	_, _ = in.Write([]byte(deflate.Tail)) // to memory
	return t.inflate(in.Bytes(), validate, lend)
}

// inflate returns the message whose compressed form, with its tail, p is.
func (t *transport) inflate(p []byte, validate, lend bool) ([]byte, error) {
	out := bufpool.Buffer{Memory: bufpool.Get(4 * len(p))}
	defer out.Release()
	err := deflate.Inflate(p, &out, t.limit.Load())
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

// writeDeflated writes a message in one frame, compressed.
func (t *transport) writeDeflated(b *bound, opcode byte, p []byte, level int) error {
	return deflate.Compress(p, level, func(p []byte) error { return t.writeFrame(b, opcode|wire.BitRSV1, p) })
}
