package websocket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// Errors of calls that make no sense. Nothing was written.
var (
	errMessageType  = errors.New("websocket: unknown message type")
	errControlType  = errors.New("websocket: not a control message type")
	errControlSize  = errors.New("websocket: control message is longer than 125 bytes")
	errWriterClosed = errors.New("websocket: write to a closed message")
)

// WriteMessage writes one message: text or binary, or a control message, which
// passes between the frames of others. It waits while another message is being
// written, for as long as that makes progress (see Options.WriteTimeout), or until
// the deadline that SetWriteDeadline set.
//
// While whole messages that have come wait to be read, small ones that are written
// are held back to leave together: until the reader waits, a control message is
// written, there are 32 KiB of them, or a millisecond has passed. A failure then
// shows at a later call. A write leaves at once if it, or the read before it, has a
// deadline of the caller's or a context that can end.
func (c *Conn) WriteMessage(messageType int, data []byte) error {
	return c.WriteMessageContext(context.Background(), messageType, data)
}

// WriteMessageContext is WriteMessage bounded by a context. If ctx ends while
// the message is being written, the connection ends with it, and the error wraps
// the context's cause. If it ends while the message still waits for others,
// nothing has happened but that it is not written.
func (c *Conn) WriteMessageContext(ctx context.Context, messageType int, data []byte) error {
	b := c.t.bound(ctx)
	switch messageType {
	case TextMessage, BinaryMessage:
	case CloseMessage, PingMessage, PongMessage:
		return c.writeControl(&b, messageType, data)
	default:
		return errMessageType
	}
	if err := c.t.lockMessage(&b); err != nil {
		return err
	}
	defer c.t.unlockMessage()
	if c.pooled || c.compresses(len(data)) {
		return c.writeOtherwise(&b, messageType, data)
	}
	return c.t.writeFrame(&b, byte(messageType), data)
}

// writeOtherwise writes a message by way of gorilla or compressed.
func (c *Conn) writeOtherwise(b *bound, messageType int, data []byte) error {
	if !c.pooled {
		return c.t.writeDeflated(b, byte(messageType), data, int(c.level.Load()))
	}
	return c.wholeThroughGorilla(b, func() error {
		c.Conn.EnableWriteCompression(c.compresses(len(data)))
		return c.Conn.WriteMessage(messageType, data)
	})
}

// WritePreparedMessage writes a message that was encoded before.
func (c *Conn) WritePreparedMessage(message *PreparedMessage) error {
	return c.WritePreparedMessageContext(context.Background(), message)
}

// WritePreparedMessageContext is WritePreparedMessage bounded by a context, as
// WriteMessageContext is.
func (c *Conn) WritePreparedMessageContext(ctx context.Context, message *PreparedMessage) error {
	b := c.t.bound(ctx)
	if err := c.t.lockMessage(&b); err != nil {
		return err
	}
	defer c.t.unlockMessage()
	return c.wholeThroughGorilla(&b, func() error { return c.Conn.WritePreparedMessage(message) })
}

// WriteJSON writes v as a text message, encoded by encoding/json and ended by a
// newline. Nothing is written where v can't be encoded.
func (c *Conn) WriteJSON(v any) error { return c.WriteJSONContext(context.Background(), v) }

// WriteJSONContext is WriteJSON bounded by a context, as WriteMessageContext is.
func (c *Conn) WriteJSONContext(ctx context.Context, v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	return c.WriteMessageContext(ctx, TextMessage, b.Bytes())
}

// NextWriter returns a writer of the next message, which leaves in frames as it
// grows; Close ends it. Until then no other message is written: a second
// NextWriter or WriteMessage waits, at most WriteTimeout, then fails and may be
// tried again. Control messages pass. The writer is for one goroutine; if one of
// its frames does not leave in time, the connection ends.
func (c *Conn) NextWriter(messageType int) (io.WriteCloser, error) {
	return c.NextWriterContext(context.Background(), messageType)
}

// NextWriterContext is NextWriter bounded by a context, which bounds the writer
// too, as with WriteMessageContext.
func (c *Conn) NextWriterContext(ctx context.Context, messageType int) (io.WriteCloser, error) {
	switch messageType {
	case TextMessage, BinaryMessage:
	case CloseMessage, PingMessage, PongMessage:
		return &controlWriter{c: c, ctx: ctx, messageType: messageType}, nil
	default:
		return nil, errMessageType
	}
	b := c.t.bound(ctx)
	if err := c.t.lockMessage(&b); err != nil {
		return nil, err
	}
	m := &messageWriter{c: c, ctx: ctx}
	defer func() {
		if m.w == nil { // also when the application's buffer pool panics
			c.t.unlockMessage()
		}
	}()
	err := c.throughGorilla(ctx, func() (err error) {
		m.w, err = c.Conn.NextWriter(messageType)
		return err
	})
	if err != nil {
		m.w = nil
		return nil, err
	}
	c.t.streaming.Store(true)
	return m, nil
}

// WriteControl writes a close, ping or pong message of at most 125 bytes. The
// deadline bounds it; a zero one stands for WriteTimeout. A CloseMessage that an
// endpoint may not send (its code, a payload of one byte, a text that is not
// UTF-8) is refused and nothing sent; one that is sent begins the closing
// handshake, which Close or the end of Serve completes.
func (c *Conn) WriteControl(messageType int, data []byte, at time.Time) error {
	b := bound{ctx: context.Background(), at: at, callers: true}
	if at.IsZero() {
		b = c.t.bound(b.ctx)
	}
	return c.writeControl(&b, messageType, data)
}

// WriteControlContext is WriteControl bounded by a context, and by WriteTimeout
// or the caller's write deadline, as WriteMessageContext is.
func (c *Conn) WriteControlContext(ctx context.Context, messageType int, data []byte) error {
	b := c.t.bound(ctx)
	return c.writeControl(&b, messageType, data)
}

func (c *Conn) writeControl(b *bound, messageType int, data []byte) error {
	if len(data) > wire.MaxControlPayload {
		return errControlSize
	}
	switch messageType {
	case CloseMessage:
		if _, violation := wire.ParseClose(data); violation != nil {
			return wire.InvalidCloseError(violation)
		}
		err := c.t.writeClose(b, data)
		if err == nil {
			c.t.expire()
		}
		return err
	case PingMessage:
	case PongMessage:
		if p := c.pinged.Load(); p != nil && p.data == string(data) {
			p.answered.Store(true)
		}
	default:
		return errControlType
	}
	return c.t.writeFrame(b, byte(messageType), data)
}

// throughGorilla has gorilla write, within the message lock, and returns what
// went wrong in the transport rather than what gorilla makes of it.
func (c *Conn) throughGorilla(ctx context.Context, write func() error) error {
	c.Conn.EnableWriteCompression(!c.uncompressed.Load())
	_ = c.Conn.SetCompressionLevel(int(c.level.Load())) // it was checked when it was set
	if ctx.Done() != nil {
		c.t.gorillas().context.Store(&ctx)
		defer c.t.gorillas().context.Store(nil)
	}
	err := write()
	if err == nil {
		return nil
	}
	if reason := c.t.unwritable(); reason != nil {
		return reason
	}
	return err
}

// wholeThroughGorilla has gorilla write a whole message. It does not begin before
// its turn has come: gorilla would not write again after having waited in vain.
func (c *Conn) wholeThroughGorilla(b *bound, write func() error) error {
	if err := c.t.lockWrite(b); err != nil {
		return err
	}
	c.t.unlockWrite()
	// Gorilla takes it for each frame, and may wait again, but not for longer together.
	if b.since != 0 {
		c.t.gorillas().since.Store(int64(b.since))
		defer c.t.gorillas().since.Store(0)
	}
	return c.throughGorilla(b.ctx, write)
}

// A messageWriter writes one message and holds the message lock until Close.
type messageWriter struct {
	c    *Conn
	w    io.WriteCloser
	ctx  context.Context
	done bool
}

func (m *messageWriter) Write(p []byte) (n int, err error) {
	if m.done {
		return 0, errWriterClosed
	}
	err = m.c.throughGorilla(m.ctx, func() error {
		n, err = m.w.Write(p)
		return err
	})
	return n, err
}

// Close sends the rest of the message. A second call is an error.
func (m *messageWriter) Close() error {
	if m.done {
		return errWriterClosed
	}
	m.done = true
	defer m.c.t.unlockMessage()
	defer m.c.t.streaming.Store(false)
	return m.c.throughGorilla(m.ctx, m.w.Close)
}

// A controlWriter collects a control message, which is one frame.
type controlWriter struct {
	c           *Conn
	ctx         context.Context
	messageType int
	data        []byte
	done        bool
}

func (w *controlWriter) Write(p []byte) (int, error) {
	switch {
	case w.done:
		return 0, errWriterClosed
	case len(w.data)+len(p) > wire.MaxControlPayload:
		return 0, errControlSize
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *controlWriter) Close() error {
	if w.done {
		return errWriterClosed
	}
	w.done = true
	b := w.c.t.bound(w.ctx)
	return w.c.writeControl(&b, w.messageType, w.data)
}
