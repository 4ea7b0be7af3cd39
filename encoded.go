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
	"github.com/goyave-contrib/websocket/internal/wire"
)

// An EncodedMessage is a text or binary message that is encoded once and written to
// many connections: see [Conn.Enqueue]. It may be used by many goroutines at the
// same time.
type EncodedMessage struct {
	opcode byte
	frame  []byte // as a server sends it, not compressed
	header int    // bytes of it

	mu       sync.Mutex
	deflated map[int][]byte // by level; frames, as a server sends them
}

// EncodeMessage returns a message of the given type, TextMessage or BinaryMessage,
// with a copy of the data. Text must be valid UTF-8 (RFC 6455, 8.1); that is not
// checked.
func EncodeMessage(messageType int, data []byte) (*EncodedMessage, error) {
	if messageType != TextMessage && messageType != BinaryMessage {
		return nil, errMessageType
	}
	frame := make([]byte, 0, wire.MaxHeaderSize+len(data))
	frame = wire.AppendHeader(frame, byte(messageType), len(data))
	m := &EncodedMessage{opcode: byte(messageType), header: len(frame)}
	m.frame = append(frame, data...)
	return m, nil
}

// Type is TextMessage or BinaryMessage.
func (m *EncodedMessage) Type() int { return int(m.opcode) }

// Data is the message itself, which must not be changed.
func (m *EncodedMessage) Data() []byte { return m.frame[m.header:] }

// frameFor returns the frame to write to a connection. It is not to be changed.
func (m *EncodedMessage) frameFor(c *Conn) ([]byte, error) {
	compress := c.t.CompressesMessage(len(m.Data()))
	switch {
	case c.t.IsClient() && compress:
		frame, err := m.deflate(c.t.CompressionLevel())
		if err != nil {
			return nil, err
		}
		return wire.MaskedFrame(frame[0]&^wire.BitFin, frame[wire.ParseHeader(frame).Size:]), nil
	case c.t.IsClient(): // each frame has a mask of its own
		return wire.MaskedFrame(m.opcode, m.Data()), nil
	case compress:
		return m.deflate(c.t.CompressionLevel())
	default:
		return m.frame, nil
	}
}

// deflate returns the compressed frame, which is made once: messages do not depend on
// each other, as no context is taken over.
func (m *EncodedMessage) deflate(level int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if frame, ok := m.deflated[level]; ok {
		return frame, nil
	}
	var frame []byte
	err := deflate.Compress(m.Data(), level, func(p []byte) error {
		frame = wire.AppendHeader(make([]byte, 0, wire.MaxHeaderSize+len(p)), m.opcode|wire.BitRSV1, len(p))
		frame = append(frame, p...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.deflated == nil {
		m.deflated = make(map[int][]byte)
	}
	m.deflated[level] = frame
	return frame, nil
}

// prepared has the EncodedMessage of each PreparedMessage that was written and is still in
// use, by its weak pointer.
var prepared sync.Map

// encodedOf returns a prepared message as one of ours, which is made once. It may be a
// control message.
func encodedOf(message *PreparedMessage) (*EncodedMessage, error) {
	key := weak.Make(message)
	if m, ok := prepared.Load(key); ok {
		return m.(*EncodedMessage), nil //nolint:errcheck // nothing else is stored
	}
	frame, err := preparedFrame(message)
	if err != nil {
		return nil, err
	}
	h := wire.ParseHeader(frame)
	m, known := prepared.LoadOrStore(key, &EncodedMessage{opcode: h.Opcode, frame: frame, header: h.Size})
	if !known {
		runtime.AddCleanup(message, func(key weak.Pointer[PreparedMessage]) { prepared.Delete(key) }, key)
	}
	return m.(*EncodedMessage), nil //nolint:errcheck // likewise
}

// preparedFrame returns a prepared message as a server sends it, in one frame that is not
// compressed. It keeps that to itself, but writes it to a connection of gorilla's.
func preparedFrame(message *PreparedMessage) ([]byte, error) {
	r := &frameRecorder{}
	upgrader := ws.Upgrader{ReadBufferSize: adoptedReadBuffer, WriteBufferPool: new(sync.Pool)}
	conn, err := upgrader.Upgrade(r, &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}, nil)
	if err != nil {
		return nil, err
	}
	if err := conn.WritePreparedMessage(message); err != nil {
		return nil, err
	}
	return r.written, nil
}

// A frameRecorder keeps what was written to it last, which is not to be changed. It is as
// much of a network and of a response writer as gorilla needs to make a connection.
type frameRecorder struct {
	http.ResponseWriter
	net.Conn
	written []byte
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
