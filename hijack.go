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
	"github.com/goyave-contrib/websocket/internal/transport"
)

// gorillaReadBuffer is the size in bytes of gorilla's own read buffer, the smallest that bufio
// makes. gorilla reads only the headers of data frames through it and everything else past it.
const gorillaReadBuffer = 16

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
		_ = transport.Strict(nc, recoveredPanics).Close()
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

// adopt makes the Conn of a hijacked connection. Nothing is written.
func (e *Endpoint) adopt(r *http.Request, nc net.Conn, rw *bufio.ReadWriter, pool ws.BufferPool, agreed *agreement) (*Conn, error) {
	t := newTransport(nc, rw, agreed)
	a := new(acceptedConn)
	gorilla, err := newGorilla((*transport.GorillaView)(t), &a.reader, rw.Writer, pool, agreed)
	if err != nil {
		t.Abort()
		return nil, err
	}
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
		t.UseDeflate(deflateTerms(agreed.deflate.Server), deflateTerms(agreed.deflate.Client))
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

// newGorilla makes gorilla's connection on top of a view, which drops the response that gorilla
// writes. The connection keeps the reader. A ws.HandshakeError is a mistake of this package.
//
// gorilla needs a read buffer that holds control frames. On top of a view it never sees any, so
// the connection gets a smaller one once it is made. gorilla has no setting for that.
func newGorilla(view *transport.GorillaView, reader *bufio.Reader, writer *bufio.Writer, pool ws.BufferPool, agreed *agreement) (*ws.Conn, error) {
	h := gorillaHandshakes.Get().(*gorillaHandshake) //nolint:errcheck // it is
	h.begin(view, reader, writer)
	h.upgrader.WriteBufferPool, h.upgrader.WriteBufferSize = pool, agreed.config.WriteBufferSize
	conn, err := h.upgrader.Upgrade(h, gorillaRequest, gorillaHeader(agreed.subprotocol))
	h.end(reader, view)
	return conn, err
}

// gorillaHeader returns the header with which the response selects a subprotocol. gorilla looks
// at it because it has no list of subprotocols.
//
//go:noinline
func gorillaHeader(subprotocol string) http.Header {
	if subprotocol == "" {
		return nil
	}
	return http.Header{"Sec-Websocket-Protocol": {subprotocol}}
}

// A gorillaHandshake is what gorilla's Upgrade needs besides the request. gorilla retains nothing
// of it. It is pooled and not on the stack, and some functions are not inlined, because gorilla
// would be too deep in the stack of the HTTP server's goroutine, which would have to grow.
//
// To gorilla it is the http.Hijacker of a connection that is already hijacked. gorilla calls no
// other method of it.
type gorillaHandshake struct {
	http.ResponseWriter
	upgrader ws.Upgrader
	view     *transport.GorillaView
	buffers  bufio.ReadWriter
}

var gorillaHandshakes = sync.Pool{New: func() any {
	return &gorillaHandshake{upgrader: ws.Upgrader{CheckOrigin: anyOrigin, Error: noResponse}}
}}

func (h *gorillaHandshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.view, &h.buffers, nil
}

//go:noinline
func (h *gorillaHandshake) begin(view *transport.GorillaView, reader *bufio.Reader, writer *bufio.Writer) {
	*reader = *unusedReader
	h.view, h.buffers.Reader, h.buffers.Writer = view, reader, writer
}

// end gives the reader a buffer of its own, and h back to the pool.
//
//go:noinline
func (h *gorillaHandshake) end(reader *bufio.Reader, view *transport.GorillaView) {
	*reader = *bufio.NewReaderSize(view, gorillaReadBuffer)
	h.view, h.buffers, h.upgrader.WriteBufferPool = nil, bufio.ReadWriter{}, nil
	gorillaHandshakes.Put(h)
}

func anyOrigin(*http.Request) bool { return true }

// noResponse keeps gorilla from writing an error: the connection is hijacked.
func noResponse(http.ResponseWriter, *http.Request, int, error) {}
