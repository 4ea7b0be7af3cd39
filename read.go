package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

// ReadMessage reads the next message. The slice is the caller's. The type is
// TextMessage or BinaryMessage, -1 with an error.
//
// The error is a *CloseError, not wrapped, when the peer sent a close frame; it has
// code 1006 when the peer hung up without one. When the Endpoint shuts down, the error
// is ErrShutdown, and from the moment [Conn.Close] is called no message is returned.
// Every error is final: see [Conn].
func (c *Conn) ReadMessage() (messageType int, p []byte, err error) {
	return c.ReadMessageContext(context.Background())
}

// ReadMessageContext is ReadMessage bounded by a context. If ctx ends while the
// read waits, the connection ends with it: this read and every later one fail
// with an error that wraps the context's cause, and all that is left is to write
// and to close.
func (c *Conn) ReadMessageContext(ctx context.Context) (messageType int, p []byte, err error) {
	return c.readWhole(ctx, false)
}

// ReadSlice is ReadMessage without memory of its own for the message: the slice
// is lent, and valid only until the next read of the connection, whatever method
// that is, or until Serve returns; then its memory is used for other messages, of
// other connections, too. Writing to it is allowed. What is kept for longer must be
// copied. Built with the race detector, the memory is overwritten when the loan
// ends.
//
// Messages cost no allocation and, where they are small, in one frame and not compressed,
// no copy.
func (c *Conn) ReadSlice() (messageType int, p []byte, err error) {
	return c.ReadSliceContext(context.Background())
}

// ReadSliceContext is ReadSlice bounded by a context, as ReadMessageContext is.
func (c *Conn) ReadSliceContext(ctx context.Context) (messageType int, p []byte, err error) {
	return c.readWhole(ctx, true)
}

// readWhole returns the next message. Those that come once we close the connection are not
// delivered: they are read up to the peer's close frame or another error.
func (c *Conn) readWhole(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	if err := c.unreadable(ctx); err != nil {
		return noMessage, nil, err
	}
	for {
		if ctx.Done() != nil {
			messageType, p, err = c.readWholeBounded(ctx, lend)
		} else if messageType, p, err = c.t.readWhole(lend); p == nil && err == nil {
			p, err = c.t.gather(messageType, lend)
		}
		switch {
		case err != nil:
			return noMessage, nil, err
		case c.t.delivers():
			return messageType, p, nil
		}
	}
}

func (c *Conn) readWholeBounded(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	release := c.t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	if messageType, p, err = c.t.readWhole(lend); p == nil && err == nil {
		if err = c.endRead(ctx); err == nil { // a handler may have ended it
			p, err = c.t.gather(messageType, lend)
		}
	}
	succeeded = err == nil
	return messageType, p, err
}

// NextReader returns a reader of the next message, which is read as it comes.
// What is left of the message before is discarded, and its reader fails.
func (c *Conn) NextReader() (messageType int, r io.Reader, err error) {
	return c.NextReaderContext(context.Background())
}

// NextReaderContext is NextReader bounded by a context, which bounds the reader
// too. If ctx ends while one of them waits, the connection ends with it, as with
// ReadMessageContext.
func (c *Conn) NextReaderContext(ctx context.Context) (messageType int, r io.Reader, err error) {
	if err := c.unreadable(ctx); err != nil {
		return noMessage, nil, err
	}
	release := c.t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	m := &messageStream{c: c, ctx: ctx}
	if err = c.nextMessage(&m.messageReader); err != nil {
		return noMessage, nil, err
	}
	succeeded = true
	return m.messageType, m, nil
}

// nextMessage gives the next message to m, but for those that come once we close the
// connection.
func (c *Conn) nextMessage(m *messageReader) error {
	for {
		if err := c.t.nextMessage(m); err != nil || c.t.delivers() {
			return err
		}
	}
}

// unreadable returns the error of the read that failed before, or that of a
// context that has ended already.
func (c *Conn) unreadable(ctx context.Context) error {
	if err := c.t.readFailure(); err != nil {
		return err
	}
	if cause := c.t.endOfReads(ctx); cause != nil {
		return &ioError{op: "read", err: cause}
	}
	return nil
}

// endRead ends all reads if the context has ended that bounds this one, in the middle of a
// message: there is no way back.
func (c *Conn) endRead(ctx context.Context) error {
	if cause := c.t.endOfReads(ctx); cause != nil {
		return c.t.readEnded(&ioError{op: "read", err: &contextError{cause}})
	}
	return nil
}

// A messageStream is the reader of one message that NextReader returns. It never ends in
// io.EOF but where the message does.
type messageStream struct {
	messageReader
	c   *Conn
	ctx context.Context
}

// Read reads on in the message, to its end, which is io.EOF.
func (m *messageStream) Read(p []byte) (n int, err error) {
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
func (m *messageStream) WriteTo(w io.Writer) (n int64, err error) {
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
func (m *messageStream) guard(read func() error) error {
	c := m.c
	if m.ended {
		return io.EOF
	}
	if err := c.t.readFailure(); err != nil {
		return err
	}
	if c.t.current != &m.messageReader {
		return errStaleReader
	}
	if err := c.endRead(m.ctx); err != nil {
		return err
	}
	release := c.t.boundRead(m.ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	err := read()
	if !c.t.delivers() {
		err = c.nextMessage(new(messageReader)) // what is left of this message and those after it
	}
	succeeded = err == nil || m.ended
	return err
}

// ReadJSON reads the next message and decodes the value that it begins with into
// v, as encoding/json does. A message that is no JSON is an error, but not one of
// the connection's: the next one can be read.
func (c *Conn) ReadJSON(v any) error { return c.ReadJSONContext(context.Background(), v) }

// ReadJSONContext is ReadJSON bounded by a context, as ReadMessageContext is.
func (c *Conn) ReadJSONContext(ctx context.Context, v any) error {
	_, r, err := c.NextReaderContext(ctx)
	if err != nil {
		return err
	}
	switch err = json.NewDecoder(r).Decode(v); {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF // the message was empty
	case err != nil:
		return err
	}
	_, err = io.Copy(io.Discard, r) // a message without an end is none
	return err
}

// JoinMessages returns a reader of all the messages to come, each followed by
// term. It ends with the error of the connection, never in io.EOF.
func JoinMessages(c *Conn, term string) io.Reader { return &joinedReader{c: c, term: term} }

type joinedReader struct {
	c    *Conn
	term string
	r    io.Reader
}

func (j *joinedReader) Read(p []byte) (int, error) {
	if j.r == nil {
		_, r, err := j.c.NextReader()
		if err != nil {
			return 0, err
		}
		j.r = io.MultiReader(r, strings.NewReader(j.term))
	}
	n, err := j.r.Read(p)
	if err == io.EOF { // a wrapped one is no end
		j.r, err = nil, nil
	}
	return n, err
}
