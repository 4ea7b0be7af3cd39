package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/goyave-contrib/websocket/internal/transport"
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
	return c.t.ReadMessage(ctx, false)
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
	return c.t.ReadMessage(ctx, true)
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
	m, err := c.t.NextReader(ctx)
	if err != nil {
		return transport.NoMessage, nil, err
	}
	return m.MessageType, m, nil
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

// CloseRead is for connections that are only written to. It reads in a goroutine
// of the connection, so that pings are answered and the peer's close frame is
// seen; a text or binary message ends the connection with code 1008. The
// connection must not be read otherwise any more.
//
// The context that it returns is derived from ctx and ends with the connection,
// with the cause of its context. If ctx ends, so does the reading: pings are no
// longer answered, and all that is left is to write and to close. A second call
// returns the context of the first. It may be called from any goroutine.
func (c *Conn) CloseRead(ctx context.Context) context.Context {
	derived, cancel := context.WithCancelCause(ctx)
	if !c.closeRead.CompareAndSwap(nil, &derived) {
		cancel(nil)
		return *c.closeRead.Load()
	}
	c.whenDone(c.Context(), func() { cancel(context.Cause(c.Context())) })
	c.Go(func(context.Context) error {
		_, _, err := c.NextReaderContext(ctx)
		switch {
		case err == nil:
			return c.Close(ClosePolicyViolation, "unexpected data message")
		case ctx.Err() != nil:
			return nil // the caller's own doing
		default:
			return err
		}
	})
	return derived
}
