package transport

import (
	"bytes"
	"io"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
)

// maxInflated is the length in bytes of a compressed frame, on the wire, up to which it is read
// whole and then inflated. A longer one is inflated as it arrives.
const maxInflated = 64 << 10

// inflated reads the payload of a compressed message of one frame, and inflates it. With lend, the
// result is lent: see deliver.
func (t *Conn) inflated(c *content, lend bool) ([]byte, error) {
	a := newArrival(true)
	defer a.end()
	if err := t.payload(a, nil); err != nil {
		return nil, err
	}
	in := a.lend()
	defer in.Release()
	window, err := t.takeReceived()
	if err != nil {
		return nil, err
	}
	defer t.giveBackReceived()
	z := deflate.NewBytesReader(in.Bytes(), window)
	defer z.Close()
	if err := t.inflate(z, c); err != nil {
		return nil, err
	}
	return t.deliver(z.Take(), lend), nil
}

// newInflater returns the inflater of a compressed message that is read in parts. With keepAll, it
// keeps all output. It must be closed by closeInflater.
func (t *Conn) newInflater(keepAll bool) (*deflate.Reader, error) {
	window, err := t.takeReceived()
	if err != nil {
		return nil, err
	}
	z := deflate.NewReader((*compressedPayload)(t), keepAll, window)
	t.deflating.arrives = z
	return z, nil
}

// closeInflater releases all memory of an inflater of newInflater. Only the reading goroutine may
// call it.
func (t *Conn) closeInflater(z *deflate.Reader) {
	t.deflating.arrives = nil
	z.Close()
	t.giveBackReceived()
}

// inflate inflates and checks the rest of a message.
func (t *Conn) inflate(z *deflate.Reader, c *content) error {
	for {
		_, err := t.inflateNext(z, c)
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped one is no end
			return nil
		case err != nil:
			return err
		}
	}
}

// inflateNext returns the next part of a message, inflated and checked, and io.EOF at its end.
func (t *Conn) inflateNext(z *deflate.Reader, c *content) ([]byte, error) {
	p, err := z.Next()
	if violation := c.take(p, t.readLimit()); violation != nil {
		return nil, violation
	}
	if err == io.EOF { //nolint:errorlint // a wrapped one is no end
		if violation := c.end(); violation != nil {
			return nil, violation
		}
	}
	return p, err
}

// deliver returns the content of l. With lend, that is the memory of l itself, which the caller may
// use until the next read: the read lock is held. Otherwise it is a copy.
func (t *Conn) deliver(l bufpool.Buffer, lend bool) []byte {
	if !lend {
		p := bytes.Clone(l.Bytes())
		l.Release()
		return p
	}
	t.lent.Release()
	t.lent = l
	return l.Bytes()
}
