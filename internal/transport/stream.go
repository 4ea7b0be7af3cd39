package transport

import (
	"context"
	"io"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

// ReadMessage returns the next message. Those that come once we close the connection are not
// delivered: they are read up to the peer's close frame or another error.
func (t *Conn) ReadMessage(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	if err := t.unreadable(ctx); err != nil {
		return NoMessage, nil, err
	}
	for {
		if ctx.Done() != nil {
			messageType, p, err = t.readMessageBounded(ctx, lend)
		} else if messageType, p, err = t.readWhole(lend); p == nil && err == nil {
			p, err = t.gather(messageType, lend)
		}
		switch {
		case err != nil:
			return NoMessage, nil, err
		case t.delivers():
			return messageType, p, nil
		}
	}
}

func (t *Conn) readMessageBounded(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	release := t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	if messageType, p, err = t.readWhole(lend); p == nil && err == nil {
		if err = t.endRead(ctx); err == nil { // a handler may have ended it
			p, err = t.gather(messageType, lend)
		}
	}
	succeeded = err == nil
	return messageType, p, err
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

// unreadable returns the error of the read that failed before, or that of a
// context that has ended already.
func (t *Conn) unreadable(ctx context.Context) error {
	if err := t.ReadFailure(); err != nil {
		return err
	}
	if cause := t.endOfReads(ctx); cause != nil {
		return &Error{Op: "read", Err: cause}
	}
	return nil
}

// endRead ends all reads if the context has ended that bounds this one, in the middle of a
// message: there is no way back.
func (t *Conn) endRead(ctx context.Context) error {
	if cause := t.endOfReads(ctx); cause != nil {
		return t.readEnded(&Error{Op: "read", Err: &contextError{cause}})
	}
	return nil
}

// A Reader is the reader of one message that NextReader returns. It never ends in
// io.EOF but where the message does.
type Reader struct {
	messageReader
	ctx context.Context
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
