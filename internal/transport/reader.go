package transport

import (
	"context"
	"io"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

// A Reader is the reader of one message that NextReader returns. It never ends in
// io.EOF but where the message does.
type Reader struct {
	messageReader
	ctx context.Context
}

// NextReader waits for the next message, and returns a reader of it that ctx bounds, too.
func (t *Conn) NextReader(ctx context.Context) (*Reader, error) {
	if err := t.unreadable(ctx); err != nil {
		return nil, err
	}
	release := t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	m := &Reader{ctx: ctx}
	if err := t.nextWanted(&m.messageReader); err != nil {
		return nil, err
	}
	succeeded = true
	return m, nil
}

// nextWanted gives the next message to m, but for those that come once we close the
// connection.
func (t *Conn) nextWanted(m *messageReader) error {
	for {
		if err := t.nextMessage(m); err != nil || t.delivers() {
			return err
		}
	}
}

// Read reads on in the message, to its end, which is io.EOF.
func (m *Reader) Read(p []byte) (n int, err error) {
	err = m.guard(func() (err error) {
		n, err = m.read(p)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// WriteTo writes the rest of the message to w, in pieces as they come.
func (m *Reader) WriteTo(w io.Writer) (n int64, err error) {
	var scrap bufpool.Chunk
	defer scrap.Release()
	for {
		var p []byte
		err := m.guard(func() (err error) {
			p, err = m.next(&scrap)
			return err
		})
		switch {
		case err == io.EOF: // a wrapped one is no end
			return n, nil
		case err != nil:
			return n, err
		}
		written, err := w.Write(p)
		n += int64(written)
		switch {
		case err != nil:
			return n, err
		case written < len(p):
			return n, io.ErrShortWrite
		}
	}
}

// guard reads on, within the context of the message, unless it is not the current one any
// more or nothing is delivered.
func (m *Reader) guard(read func() error) error {
	t := m.t
	if m.ended {
		return io.EOF
	}
	if err := t.ReadFailure(); err != nil {
		return err
	}
	if t.current != &m.messageReader {
		return errStaleReader
	}
	if err := t.endRead(m.ctx); err != nil {
		return err
	}
	release := t.boundRead(m.ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	err := read()
	if !t.delivers() {
		err = t.nextWanted(new(messageReader)) // what is left of this message and those after it
	}
	succeeded = err == nil || m.ended
	return err
}
