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
	"github.com/goyave-contrib/websocket/internal/wire"
)

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
