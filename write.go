package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// Errors of calls that make no sense. Nothing was written.
var (
	errMessageType = errors.New("websocket: unknown message type")
	errControlType = errors.New("websocket: not a control message type")
	errControlSize = errors.New("websocket: control message is longer than 125 bytes")
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
	b := c.t.WriteDeadline(ctx)
	switch messageType {
	case TextMessage, BinaryMessage:
	case CloseMessage, PingMessage, PongMessage:
		return c.writeControl(&b, messageType, data)
	default:
		return errMessageType
	}
	return c.t.WriteMessage(&b, byte(messageType), data)
}

// WritePreparedMessage writes a message that was encoded before.
func (c *Conn) WritePreparedMessage(message *PreparedMessage) error {
	return c.WritePreparedMessageContext(context.Background(), message)
}

// WritePreparedMessageContext is WritePreparedMessage bounded by a context, as
// WriteMessageContext is.
func (c *Conn) WritePreparedMessageContext(ctx context.Context, message *PreparedMessage) error {
	b := c.t.WriteDeadline(ctx)
	m, err := encodedOf(message)
	if err != nil {
		return err
	}
	if !wire.IsData(m.opcode) {
		return c.writeControl(&b, int(m.opcode), m.Data())
	}
	opcode, payload := m.opcode, m.Data()
	if c.t.Compresses() { // whatever its size
		frame, err := m.deflate(c.t.CompressionLevel())
		if err != nil {
			return err
		}
		opcode, payload = opcode|wire.BitRSV1, frame[wire.ParseHeader(frame).Size:]
	}
	return c.t.WriteEncoded(&b, opcode, payload)
}

// WriteJSON writes v as a text message, encoded by encoding/json and ended by a
// newline. Nothing is written where v can't be encoded.
func (c *Conn) WriteJSON(v any) error { return c.WriteJSONContext(context.Background(), v) }

// WriteJSONContext is WriteJSON bounded by a context, as WriteMessageContext is.
func (c *Conn) WriteJSONContext(ctx context.Context, v any) error {
	var encoded bufpool.Buffer
	defer encoded.Release()
	if err := json.NewEncoder(&encoded).Encode(v); err != nil {
		return err
	}
	return c.WriteMessageContext(ctx, TextMessage, encoded.Bytes())
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
	b := c.t.WriteDeadline(ctx)
	w, err := c.t.NextWriter(&b, messageType)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// WriteControl writes a close, ping or pong message of at most 125 bytes. The
// deadline bounds it; a zero one stands for WriteTimeout. A CloseMessage that an
// endpoint may not send (its code, a payload of one byte, a text that is not
// UTF-8) is refused and nothing sent; one that is sent begins the closing
// handshake, which Close or the end of Serve completes.
func (c *Conn) WriteControl(messageType int, data []byte, at time.Time) error {
	b := c.t.WriteDeadlineAt(at)
	return c.writeControl(&b, messageType, data)
}

// WriteControlContext is WriteControl bounded by a context, and by WriteTimeout
// or the caller's write deadline, as WriteMessageContext is.
func (c *Conn) WriteControlContext(ctx context.Context, messageType int, data []byte) error {
	b := c.t.WriteDeadline(ctx)
	return c.writeControl(&b, messageType, data)
}

func (c *Conn) writeControl(b *transport.WriteDeadline, messageType int, data []byte) error {
	if len(data) > wire.MaxControlPayload {
		return errControlSize
	}
	switch messageType {
	case CloseMessage:
		return c.t.WriteCloseMessage(b, data)
	case PingMessage:
	case PongMessage:
		if p := c.handledPing.Load(); p != nil && p.data == string(data) {
			p.answered.Store(true)
		}
	default:
		return errControlType
	}
	return c.t.WriteFrame(b, byte(messageType), data)
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
		return 0, transport.ErrWriterClosed
	case len(w.data)+len(p) > wire.MaxControlPayload:
		return 0, errControlSize
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *controlWriter) Close() error {
	if w.done {
		return transport.ErrWriterClosed
	}
	w.done = true
	b := w.c.t.WriteDeadline(w.ctx)
	return w.c.writeControl(&b, w.messageType, w.data)
}
