package websocket

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// gorillaReadBuffer is the size in bytes of gorilla's own read buffer: a control
// frame's payload must fit, all else goes past it.
const gorillaReadBuffer = 128

// A hijacker has gorilla take over a transport instead of the connection itself.
// It finds the connection behind writers that middleware wrapped.
type hijacker struct {
	http.ResponseWriter
	options    *Options
	readBuffer int

	t   *transport // set by Hijack
	err error

	mu    sync.Mutex
	isCut bool
}

// Hijack keeps what the client sent early for the transport, so gorilla, which
// would hang up, sees none of it.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		h.err = fmt.Errorf("websocket: the connection can't be taken over from the HTTP server "+
			"(HTTP/2, or a writer of a middleware without an Unwrap method): %w", err)
		return nil, nil, h.err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what is buffered can be peeked at
	h.mu.Lock()
	h.t = newTransport(nc, early, h.readBuffer, h.options)
	if h.isCut {
		h.t.cut()
	}
	h.mu.Unlock()
	return h.t, bufio.NewReadWriter(bufio.NewReaderSize(h.t, handshakeBuffer), rw.Writer), nil
}

// cut ends the upgrade where it is: its 101 can't be written.
func (h *hijacker) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isCut = true
	if h.t != nil {
		h.t.cut()
	}
}
