package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/opening"
	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/goyave-contrib/websocket/internal/transport"
)

// An agreement is what the two peers have agreed on in a handshake, and the settings for it.
type agreement struct {
	config  *transport.Config
	timeout time.Duration // of the 101: Options.HandshakeTimeout

	key         string // the client's Sec-WebSocket-Key
	subprotocol string // "" for none
	deflate     *handshake.DeflateTerms
	extensions  string // Sec-WebSocket-Extensions of the response, "" for none
}

// hijack takes over the connection of a response writer, through the wrappers of
// middleware. The Hijack method of a wrapper may return less than net/http's own.
func hijack(w http.ResponseWriter) (nc net.Conn, rw *bufio.ReadWriter, err error) {
	nc, rw, err = http.NewResponseController(w).Hijack()
	switch {
	case err != nil:
	case nc == nil:
		err = errors.New("Hijack returned no connection")
	case rw == nil || rw.Reader == nil || rw.Writer == nil: // what the client sent early is lost
		_ = strictconn.Wrap(nc, recoveredPanics).Close()
		err = errors.New("Hijack returned no buffers")
	default:
		return nc, rw, nil
	}
	return nil, nil, fmt.Errorf("websocket: the connection can't be taken over from "+
		"the HTTP server (HTTP/2, or a writer of a middleware without an Unwrap method): %w", err)
}

// An acceptedConn is a Conn of a server, with the reader of gorilla's connection.
type acceptedConn struct {
	Conn
	reader bufio.Reader
}

// beginGorilla makes what the Conn of a hijacked connection consists of, but for gorilla's
// connection, for which it returns the handshake. Nothing is written. The caller calls Upgrade
// itself, which is deep in the stack of the HTTP server's goroutine, and then adopt.
//
//go:noinline
func beginGorilla(nc net.Conn, rw *bufio.ReadWriter, pool ws.BufferPool, agreed *agreement) *gorillaHandshake {
	h := gorillaHandshakes.Get().(*gorillaHandshake) //nolint:errcheck // it is
	h.t = newTransport(nc, rw, agreed)
	h.conn = new(acceptedConn)
	h.conn.reader = *unusedReader
	h.buffers.Reader, h.buffers.Writer = &h.conn.reader, rw.Writer
	h.upgrader.WriteBufferPool, h.upgrader.WriteBufferSize = pool, agreed.config.WriteBufferSize
	if agreed.subprotocol != "" {
		h.header = http.Header{"Sec-Websocket-Protocol": {agreed.subprotocol}}
	}
	return h
}

// adopt makes the Conn of a hijacked connection, after Upgrade has returned gorilla's connection on
// top of a view, or an error. It gives h back to the pool. A ws.HandshakeError is a mistake of this
// package.
//
// gorilla needs a read buffer that holds control frames. On top of a view it never sees any, so
// the connection gets a smaller one now that it is made. gorilla has no setting for that.
//
//go:noinline
func (e *Endpoint) adopt(r *http.Request, h *gorillaHandshake, gorilla *ws.Conn, err error) (*Conn, error) {
	t, a := h.t, h.conn
	*h = gorillaHandshake{upgrader: h.upgrader}
	h.upgrader.WriteBufferPool = nil
	gorillaHandshakes.Put(h)
	if err != nil {
		t.Abort()
		return nil, err
	}
	a.reader = *bufio.NewReaderSize((*transport.GorillaView)(t), transport.GorillaReadBuffer)
	a.init(r.Context(), gorilla, t, e.connOptions())
	return &a.Conn, nil
}

// newTransport makes the transport of a hijacked connection. What the client sent early goes to
// the transport, because gorilla would hang up if it saw any.
//
//go:noinline
func newTransport(nc net.Conn, rw *bufio.ReadWriter, agreed *agreement) *transport.Conn {
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // no error: these bytes are buffered
	t := transport.New(nc, early, agreed.config)
	if agreed.deflate != nil { // gorilla itself does not know
		opening.UseDeflate(t, agreed.deflate.Server, agreed.deflate.Client)
	}
	_, _ = rw.Reader.Discard(len(early)) // nc itself may read through this buffer
	return t
}

// gorillaRequest is the request that gorilla is given, which gorilla does not change. gorilla never
// sees the client's request, so its checks cannot fail.
var gorillaRequest = &http.Request{Method: http.MethodGet, Header: http.Header{
	"Connection":            {"upgrade"},
	"Upgrade":               {"websocket"},
	"Sec-Websocket-Version": {"13"},
	"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
}}

// unusedReader is a reader whose buffer gorilla accepts from an http.Hijacker: it is longer
// than 256 bytes. gorilla does not read during its handshake, so copies may share the buffer.
var unusedReader = bufio.NewReaderSize(nil, 257)

// A gorillaHandshake is what gorilla's Upgrade needs besides the request, and what it is made for.
// gorilla retains nothing of it. It is pooled and not on the stack, and some functions are not inlined,
// because gorilla would be too deep in the stack of the HTTP server's goroutine, which would have to
// grow.
//
// To gorilla it is the http.Hijacker of a connection that is already hijacked. gorilla calls no
// other method of it.
type gorillaHandshake struct {
	http.ResponseWriter
	upgrader ws.Upgrader
	header   http.Header // selects the subprotocol: gorilla looks at it because it has no list of them
	buffers  bufio.ReadWriter

	t    *transport.Conn
	conn *acceptedConn
}

var gorillaHandshakes = sync.Pool{New: func() any {
	return &gorillaHandshake{upgrader: ws.Upgrader{CheckOrigin: anyOrigin, Error: noResponse}}
}}

func (h *gorillaHandshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return (*transport.GorillaView)(h.t), &h.buffers, nil
}

func anyOrigin(*http.Request) bool { return true }

// noResponse keeps gorilla from writing an error: the connection is hijacked.
func noResponse(http.ResponseWriter, *http.Request, int, error) {}
