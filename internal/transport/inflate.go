package transport

import (
	"bytes"
	"io"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
)

// maxInflated is how long a compressed frame may be on the wire, in bytes, to be
// inflated when it has come whole. Longer ones are inflated as they come.
const maxInflated = 64 << 10

// inflated reads the payload of a compressed message, which is one frame, and inflates it.
func (t *Conn) inflated(c *content, lend bool) ([]byte, error) {
	a := newArrival(true)
	defer a.end()
	if err := t.payload(a, nil); err != nil {
		return nil, err
	}
	in := a.lend()
	defer in.Release()
	z := deflate.NewBytesReader(in.Bytes())
	defer z.Close()
	if err := t.inflate(z, c); err != nil {
		return nil, err
	}
	return t.deliver(z.Take(), lend), nil
}

// inflate inflates the rest of a message, and checks it.
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

// inflateNext returns what a message inflates to next, checked, and io.EOF at its end.
func (t *Conn) inflateNext(z *deflate.Reader, c *content) ([]byte, error) {
	p, err := z.Next()
	if violation := c.take(p, t.limit.Load()); violation != nil {
		return nil, violation
	}
	if err == io.EOF { //nolint:errorlint // likewise
		if violation := c.end(); violation != nil {
			return nil, violation
		}
	}
	return p, err
}

// deliver returns what a loan has: the loan itself, with the read lock held, or a copy.
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
