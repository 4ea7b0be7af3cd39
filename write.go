package websocket

import (
	"cmp"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"time"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// Errors of calls with invalid arguments. Nothing was written.
var (
	errMessageType = errors.New("websocket: unknown message type")
	errControlType = errors.New("websocket: not a control message type")
	errControlSize = errors.New("websocket: control message is longer than 125 bytes")
)

// WriteMessage writes one message: a text or binary message, or a control message, which may
// be sent between the frames of another message. It waits for another message that is being
// written for as long as that makes progress (see Options.WriteTimeout), or until the deadline
// that SetWriteDeadline set.
//
// Small messages may be held back to be sent together, as long as the read buffer holds
// another whole message. They are sent when a read waits for the peer, when a control message
// is written, when they reach 32 KiB, or after a millisecond. If sending them fails, a later
// call returns the error. A message is sent at once if its write, or the read before it, has a
// deadline set by the caller or a context that can end.
func (c *Conn) WriteMessage(messageType int, data []byte) error {
	return c.WriteMessageContext(context.Background(), messageType, data)
}

// WriteMessageContext is WriteMessage bounded by a context. If ctx ends while the message is
// being written, the connection ends, and the error wraps the context's cause. If ctx ends
// while the message still waits for another one, the message is not written and the
// connection goes on.
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

// WritePreparedMessage writes a message that NewPreparedMessage encoded. It compresses messages
// of any size, if compression is on.
func (c *Conn) WritePreparedMessage(message *PreparedMessage) error {
	return c.WritePreparedMessageContext(context.Background(), message)
}

// WritePreparedMessageContext is WritePreparedMessage bounded by a context, like
// WriteMessageContext.
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
	if c.t.Compresses() { // CompressionThreshold does not apply
		frame, err := m.compressedFrame(c.deflateKind())
		if err != nil {
			return err
		}
		opcode, payload = opcode|wire.BitRSV1, frame[wire.ParseHeader(frame).Size:]
	}
	return c.t.WriteEncoded(&b, opcode, payload, m.Data())
}

// WriteJSON writes v as a text message, encoded by encoding/json and followed by a newline. If
// v can't be encoded, it returns the error and writes nothing.
func (c *Conn) WriteJSON(v any) error { return c.WriteJSONContext(context.Background(), v) }

// WriteJSONContext is WriteJSON bounded by a context, like WriteMessageContext.
func (c *Conn) WriteJSONContext(ctx context.Context, v any) error {
	var encoded bufpool.Buffer
	defer encoded.Release()
	if err := json.NewEncoder(&encoded).Encode(v); err != nil {
		return err
	}
	return c.WriteMessageContext(ctx, TextMessage, encoded.Bytes())
}

// NextWriter returns a writer of the next message, which is sent in frames as it grows. Close
// ends the message. Until then no other text or binary message can be written: another
// NextWriter or WriteMessage waits for at most WriteTimeout, then fails and may be tried
// again. Control messages are still sent. Only one goroutine may use the writer. If a frame
// can't be sent in time, the connection ends.
func (c *Conn) NextWriter(messageType int) (io.WriteCloser, error) {
	return c.NextWriterContext(context.Background(), messageType)
}

// NextWriterContext is NextWriter bounded by a context, which also bounds the writer, like
// WriteMessageContext.
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

// WriteControl writes a close, ping or pong message of at most 125 bytes. The write is bounded
// by deadline, or by WriteTimeout if deadline is the zero time.
//
// A CloseMessage that an endpoint may not send is an error, and nothing is sent: its code is
// not a [ValidCloseCode], its payload is one byte, or its text is not UTF-8. A CloseMessage
// that is sent begins the closing handshake, which Close or the end of Serve completes.
func (c *Conn) WriteControl(messageType int, data []byte, deadline time.Time) error {
	b := c.t.WriteDeadlineAt(deadline)
	return c.writeControl(&b, messageType, data)
}

// WriteControlContext is WriteControl bounded by a context, like WriteMessageContext, and by
// WriteTimeout or the deadline that SetWriteDeadline set.
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
		c.pongWritten(data)
	default:
		return errControlType
	}
	return c.t.WriteControl(b, byte(messageType), data)
}

// A controlWriter collects a control message, because it must be sent in one frame.
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

// CompressionOff is the level that switches the compression of written messages off: see
// Options.CompressionLevel.
const CompressionOff = math.MinInt32

var errLevel = errors.New("websocket: invalid compression level")

func isCompressionLevel(level int) bool {
	return level == CompressionOff || level >= flate.HuffmanOnly && level <= flate.BestCompression
}

// initCompression sets the level of the options.
func (c *Conn) initCompression() {
	// With CompressionOff in the options, EnableWriteCompression needs a level, too.
	_ = c.SetCompressionLevel(0)
	_ = c.SetCompressionLevel(c.options.compressionLevel) // was validated
}

// EnableWriteCompression switches the compression of later messages on or off. It has no
// effect unless compression was negotiated; then compression is on from the start, unless
// the level is [CompressionOff]. Messages shorter than CompressionThreshold stay uncompressed
// all the same, unless they are prepared.
func (c *Conn) EnableWriteCompression(enable bool) { c.t.EnableCompression(enable) }

// SetCompressionLevel sets the level of later messages, on the scale of
// Options.CompressionLevel: 1 (fastest) to 9 (smallest), flate.DefaultCompression or
// flate.HuffmanOnly. Zero means 1. [CompressionOff] has the effect of
// EnableWriteCompression(false); no other level switches compression on again. For any other
// number, it returns an error and changes nothing.
func (c *Conn) SetCompressionLevel(level int) error {
	switch {
	case !isCompressionLevel(level):
		return errLevel
	case level == CompressionOff:
		c.t.EnableCompression(false)
	default:
		c.t.SetCompressionLevel(cmp.Or(level, flate.BestSpeed))
	}
	return nil
}
