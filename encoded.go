package websocket

import (
	"bufio"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"
	"weak"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// An EncodedMessage is a text or binary message that is encoded once and written to many
// connections: see [Conn.Enqueue]. Any number of goroutines may use it at the same time. Use
// [EncodeMessage] to make one: the zero value is not a message, and to enqueue it is an error.
type EncodedMessage struct {
	opcode     byte
	frame      []byte // unmasked and not compressed, as a server sends it
	headerSize int    // of frame, in bytes
	content    transport.Content

	mu         sync.Mutex
	compressed map[deflateKind][]byte // unmasked frames
}

// A deflateKind is what makes connections need different compressed frames of a message. A frame
// that is compressed by itself is valid with context takeover and without it.
type deflateKind struct{ level, windowBits int }

// deflateKind returns the kind of the connection, for which compression was negotiated.
func (c *Conn) deflateKind() deflateKind {
	return deflateKind{level: c.t.CompressionLevel(), windowBits: c.t.DeflateWindow()}
}

// EncodeMessage returns a message of the given type, TextMessage or BinaryMessage, with a copy
// of data. Any other type is an error. The text of a TextMessage must be valid UTF-8 (RFC
// 6455, 8.1), which EncodeMessage does not check.
func EncodeMessage(messageType int, data []byte) (*EncodedMessage, error) {
	if messageType != TextMessage && messageType != BinaryMessage {
		return nil, errMessageType
	}
	frame := make([]byte, 0, wire.MaxHeaderSize+len(data))
	frame = wire.AppendHeader(frame, byte(messageType), len(data))
	m := &EncodedMessage{opcode: byte(messageType), headerSize: len(frame)}
	m.frame = append(frame, data...)
	m.content.Message = m.Data()
	return m, nil
}

// Type returns TextMessage or BinaryMessage.
func (m *EncodedMessage) Type() int { return int(m.opcode) }

// Data returns the payload of the message, which the caller must not change.
func (m *EncodedMessage) Data() []byte { return m.frame[m.headerSize:] }

// frameFor returns the frame to write to c, which the caller must not change.
func (m *EncodedMessage) frameFor(c *Conn) (frame transport.Frame, err error) {
	if m.frame == nil { // the zero value
		return frame, errMessageType
	}
	frame.Bytes = m.frame
	if c.t.CompressesMessage(len(m.Data())) {
		frame.Content = &m.content
		if frame.Bytes, err = m.compressedFrame(c.deflateKind()); err != nil {
			return frame, err
		}
	}
	if c.t.IsClient() { // each frame needs its own masking key
		payload := frame.Bytes[wire.ParseHeader(frame.Bytes).Size:]
		frame.Bytes = wire.MaskedFrame(frame.Bytes[0]&^wire.BitFin, payload)
	}
	return frame, nil
}

// compressedFrame returns the compressed frame of a kind, which is made once.
func (m *EncodedMessage) compressedFrame(kind deflateKind) (frame []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if frame, ok := m.compressed[kind]; ok {
		return frame, nil
	}
	err = deflate.CompressAlone(m.Data(), kind.level, kind.windowBits, func(p []byte) error {
		frame = wire.AppendHeader(make([]byte, 0, wire.MaxHeaderSize+len(p)), m.opcode|wire.BitRSV1, len(p))
		frame = append(frame, p...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.compressed == nil {
		m.compressed = make(map[deflateKind][]byte)
	}
	m.compressed[kind] = frame
	return frame, nil
}

// preparedMessages maps weak pointers of PreparedMessages that were written, and are still in
// use, to their EncodedMessages.
var preparedMessages sync.Map

// encodedOf returns the EncodedMessage of a prepared message, which is made once. Unlike other
// EncodedMessages, it may be a control message.
func encodedOf(message *PreparedMessage) (*EncodedMessage, error) {
	key := weak.Make(message)
	if m, ok := preparedMessages.Load(key); ok {
		return m.(*EncodedMessage), nil //nolint:errcheck // nothing else is stored
	}
	frame, err := preparedFrame(message)
	if err != nil {
		return nil, err
	}
	h := wire.ParseHeader(frame)
	m, known := preparedMessages.LoadOrStore(key, &EncodedMessage{opcode: h.Opcode, frame: frame, headerSize: h.Size})
	if !known {
		runtime.AddCleanup(message, func(key weak.Pointer[PreparedMessage]) { preparedMessages.Delete(key) }, key)
	}
	return m.(*EncodedMessage), nil //nolint:errcheck // likewise
}

// preparedFrame returns a prepared message as one frame, unmasked and not compressed. gorilla
// does not export the frame, so preparedFrame has gorilla write it to a connection.
func preparedFrame(message *PreparedMessage) ([]byte, error) {
	r := &frameRecorder{}
	upgrader := ws.Upgrader{ReadBufferSize: transport.GorillaReadBuffer, WriteBufferPool: new(sync.Pool)}
	conn, err := upgrader.Upgrade(r, gorillaRequest, nil)
	if err != nil {
		return nil, err
	}
	if err := conn.WritePreparedMessage(message); err != nil {
		return nil, err
	}
	return r.written, nil
}

// A frameRecorder records what was last written to it. It implements just enough of net.Conn
// and http.ResponseWriter for gorilla's Upgrade.
type frameRecorder struct {
	http.ResponseWriter
	net.Conn
	written []byte // must not be changed
}

func (r *frameRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r, bufio.NewReadWriter(bufio.NewReader(nil), bufio.NewWriter(r)), nil
}

func (r *frameRecorder) Write(p []byte) (int, error) {
	r.written = p
	return len(p), nil
}

func (*frameRecorder) SetDeadline(time.Time) error      { return nil }
func (*frameRecorder) SetWriteDeadline(time.Time) error { return nil }
