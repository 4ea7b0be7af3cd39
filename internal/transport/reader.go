package transport

import (
	"context"
	"io"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

// A Reader reads one message, within the context of NextReader. Only the reading goroutine may
// use it, until the next message is asked for: then it fails. Only the end of the message is
// io.EOF; after any other error, no read of the connection works.
type Reader struct {
	messageReader
	ctx context.Context
}

// MessageType returns the type of the message.
func (m *Reader) MessageType() int { return m.messageType }

// NextReader waits for the next message and returns a reader for it, and drops what is left of
// the message before. ctx bounds the wait, and all reads of the Reader. Only the reading
// goroutine may call it.
func (t *Conn) NextReader(ctx context.Context) (*Reader, error) {
	if err := t.unreadable(ctx); err != nil {
		return nil, err
	}
	release := t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	m := &Reader{ctx: ctx}
	if err := t.nextDelivered(&m.messageReader); err != nil {
		return nil, err
	}
	succeeded = true
	return m, nil
}

// nextDelivered is nextMessage, but drops messages once this end has begun to close the
// connection.
func (t *Conn) nextDelivered(m *messageReader) error {
	for {
		if err := t.nextMessage(m); err != nil || t.delivers() {
			return err
		}
	}
}

// Read reads up to len(p) bytes of the message. At its end it returns io.EOF.
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

// WriteTo writes the rest of the message to w, piece by piece as it arrives. An error of w is
// returned as it is, and the rest of the message can still be read.
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
		case err == io.EOF: //nolint:errorlint // a wrapped io.EOF is an error
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

// guard calls read within the context of the Reader, if the message is still the current one.
// Once this end has begun to close the connection, it drops the message and all later ones.
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
	if err := t.checkContext(m.ctx); err != nil {
		return err
	}
	release := t.boundRead(m.ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	err := read()
	if !t.delivers() {
		err = t.nextDelivered(new(messageReader)) // drops the rest of this message and all later ones
	}
	succeeded = err == nil || m.ended
	return err
}
