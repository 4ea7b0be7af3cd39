package websocket

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// ReadMessage reads the next message. The slice belongs to the caller. The type is TextMessage
// or BinaryMessage, or -1 with an error.
//
// If the peer sent a close frame, the error is a *CloseError, not wrapped; it has code 1006 if
// the peer hung up without a close frame. If the Endpoint shuts down, the error is
// ErrShutdown. Once [Conn.Close] is called, no message is returned. Every error is final: see
// [Conn].
func (c *Conn) ReadMessage() (messageType int, p []byte, err error) {
	return c.ReadMessageContext(context.Background())
}

// ReadMessageContext is ReadMessage bounded by a context. If ctx ends while the read is
// waiting, no message can be read any more: this read and every later one fail with an error
// that wraps the context's cause. The connection can still be written to and closed.
func (c *Conn) ReadMessageContext(ctx context.Context) (messageType int, p []byte, err error) {
	return c.t.ReadMessage(ctx, false)
}

// ReadSlice is ReadMessage without an allocation for the message, and without a copy if the
// message is small, in one frame and not compressed.
//
// The slice is only valid until the next read of the connection by any method, or until Serve
// returns. After that, its memory is used for other messages, also of other connections: copy
// what is needed for longer. The caller may write to the slice. Under the race detector, the
// memory is overwritten when the slice becomes invalid.
func (c *Conn) ReadSlice() (messageType int, p []byte, err error) {
	return c.ReadSliceContext(context.Background())
}

// ReadSliceContext is ReadSlice bounded by a context, like ReadMessageContext.
func (c *Conn) ReadSliceContext(ctx context.Context) (messageType int, p []byte, err error) {
	return c.t.ReadMessage(ctx, true)
}

// NextReader waits for the next message and returns a reader of it, which may be used while the
// message is still arriving. NextReader discards what is unread of the message before, whose
// reader then fails. The type is TextMessage or BinaryMessage, or -1 with an error.
func (c *Conn) NextReader() (messageType int, r io.Reader, err error) {
	return c.NextReaderContext(context.Background())
}

// NextReaderContext is NextReader bounded by a context, which also bounds the reader. If ctx
// ends while one of them is waiting, reads fail as with ReadMessageContext.
func (c *Conn) NextReaderContext(ctx context.Context) (messageType int, r io.Reader, err error) {
	m, err := c.t.NextReader(ctx)
	if err != nil {
		return transport.NoMessage, nil, err
	}
	return m.MessageType(), m, nil
}

// ReadJSON reads the next message and decodes the JSON value at its beginning into v, as
// encoding/json does. A message without valid JSON is an error, but not one of the connection:
// the next message can be read.
func (c *Conn) ReadJSON(v any) error { return c.ReadJSONContext(context.Background(), v) }

// ReadJSONContext is ReadJSON bounded by a context, like ReadMessageContext.
func (c *Conn) ReadJSONContext(ctx context.Context, v any) error {
	_, r, err := c.NextReaderContext(ctx)
	if err != nil {
		return err
	}
	switch err = json.NewDecoder(r).Decode(v); {
	case err == io.EOF: //nolint:errorlint // a wrapped one is an error of the connection
		return io.ErrUnexpectedEOF // the message was empty
	case err != nil:
		return err
	}
	_, err = io.Copy(io.Discard, r) // a message counts only once its end was read
	return err
}

// JoinMessages returns a reader of all messages that follow, each followed by term. It ends
// with the error of the connection, never with io.EOF. Only one goroutine may use it, and no
// other may read from the connection.
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
	if err == io.EOF { // only the bare io.EOF is the end of a message
		j.r, err = nil, nil
	}
	return n, err
}

// CloseRead reads from a connection that the application only writes to. It starts a goroutine
// of the connection that answers pings and sees the peer's close frame. A text or binary
// message ends the connection with code 1008. The application must not read from the
// connection any more.
//
// The returned context is derived from ctx. It also ends with the connection, with the cause
// of the connection's context. If ctx ends, the goroutine stops reading: pings are no longer
// answered, and the connection can only be written to and closed.
//
// With a [MessageController], the connection is read anyway, and no goroutine is started: a
// message ends the connection with code 1008 in place of a call of OnMessage. If ctx ends,
// the connection ends as if OnMessage had returned its cause.
//
// CloseRead may be called from any goroutine. A second call returns the context of the first.
func (c *Conn) CloseRead(ctx context.Context) context.Context {
	derived, cancel := context.WithCancelCause(ctx)
	if !c.closeRead.CompareAndSwap(nil, &derived) {
		cancel(nil)
		return *c.closeRead.Load()
	}
	c.whenDone(c.Context(), func() { cancel(context.Cause(c.Context())) })
	if c.dispatch != toReads {
		c.whenDone(derived, func() {
			if ctx.Err() != nil {
				_ = c.failReads(context.Cause(ctx))
			}
		})
		return derived
	}
	c.goInternal(func() error {
		_, _, err := c.NextReaderContext(ctx)
		switch {
		case err == nil:
			return c.closeWith(unexpectedFrame)
		case ctx.Err() != nil:
			return nil // the application wanted it
		default:
			return err
		}
	})
	return derived
}
