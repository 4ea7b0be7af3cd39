package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
)

// gorilla needs a read buffer of its own. It reads only the headers of data frames through
// it and everything else past it, so the buffer is as small as possible. Sizes are in
// bytes.
const (
	adoptedReadBuffer = 257 // the smallest that gorilla accepts from an http.Hijacker
	gorillaReadBuffer = 16  // the smallest that bufio makes
)

// An agreement is what the two peers have agreed on in a handshake.
type agreement struct {
	key         []string // the client's Sec-WebSocket-Key
	subprotocol string   // "" for none
	deflate     bool     // permessage-deflate
	window      bool     // the response must confirm the largest window
}

// extensionsHeader is spelled as in RFC 6455. With the canonical spelling of net/http,
// gorilla would take the header for the application's and refuse it. gorilla itself does
// not know that compression was negotiated.
const extensionsHeader = "Sec-WebSocket-Extensions"

// extensions returns the Sec-WebSocket-Extensions header that accepts compression (RFC
// 7692, 7.1).
func (a *agreement) extensions() string {
	if a.window {
		return handshake.DeflateTerms + handshake.LargestWindow
	}
	return handshake.DeflateTerms
}

// An upgrade is a request that is about to become a connection.
type upgrade struct {
	admitted bool // counts toward MaxConnections; guarded by the connSet

	hijacker gorillaHijacker

	mu      sync.Mutex
	t       *transport.Conn // nil until adopt
	aborted bool
}

// gorillaHijacker is the http.Hijacker that gorilla is given for a connection that is
// already hijacked. gorilla calls no other method of it.
type gorillaHijacker struct {
	http.ResponseWriter
	view    *transport.GorillaView
	buffers bufio.ReadWriter // the reader of the view, and the HTTP server's writer
}

func (w *gorillaHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.view, &w.buffers, nil
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

// adopt makes a transport of a hijacked connection. What the client sent early goes to the
// transport, because gorilla would hang up if it saw any.
func (u *upgrade) adopt(nc net.Conn, rw *bufio.ReadWriter, c *transport.Config, agreed agreement) {
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // no error: these bytes are buffered
	t := transport.New(nc, early, c)
	if agreed.deflate {
		t.UseDeflate()
	}
	_, _ = rw.Reader.Discard(len(early)) // nc itself may read through this buffer
	u.hijacker.view = (*transport.GorillaView)(t)
	u.hijacker.buffers.Reader = bufio.NewReaderSize(u.hijacker.view, adoptedReadBuffer)
	u.hijacker.buffers.Writer = rw.Writer
	u.mu.Lock()
	defer u.mu.Unlock()
	u.t = t
	if u.aborted {
		t.Abort()
	}
}

// noSubprotocols makes gorilla select no subprotocol. With a nil list, gorilla looks at the
// header of the response instead.
var noSubprotocols = []string{}

// gorillaRequests are requests with the few parts that gorilla looks at. Key and
// subprotocol are set for one handshake at a time.
var gorillaRequests = sync.Pool{New: func() any {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
	}}
}}

// switchProtocols has gorilla write the 101 response and make its connection on top of the
// transport. A ws.HandshakeError means that gorilla refuses a request that check accepted,
// which is a mistake of this package.
func (u *upgrade) switchProtocols(upgrader *ws.Upgrader, agreed agreement, header http.Header) (*ws.Conn, error) {
	upgrader.CheckOrigin = func(*http.Request) bool { return true }
	upgrader.Error = func(http.ResponseWriter, *http.Request, int, error) {} // the connection is hijacked: no HTTP response can follow
	r := gorillaRequests.Get().(*http.Request)                               //nolint:errcheck // the pool holds nothing else
	r.Header["Sec-Websocket-Key"] = agreed.key
	upgrader.Subprotocols = noSubprotocols
	if agreed.subprotocol != "" {
		upgrader.Subprotocols = []string{agreed.subprotocol}
		r.Header["Sec-Websocket-Protocol"] = upgrader.Subprotocols
	}
	defer func() {
		delete(r.Header, "Sec-Websocket-Key")
		delete(r.Header, "Sec-Websocket-Protocol")
		gorillaRequests.Put(r) // gorilla retains nothing of it
	}()
	if agreed.deflate {
		if header == nil {
			header = http.Header{}
		}
		header[extensionsHeader] = []string{agreed.extensions()}
	}
	return upgrader.Upgrade(&u.hijacker, r, header)
}

// connection makes a Conn of the connection that gorilla upgraded. It replaces gorilla's
// read buffer by a smaller one. gorilla has no setting for that, because it reads control
// frames through its buffer; on top of a transport it never sees any.
func (u *upgrade) connection(r *http.Request, gorilla *ws.Conn, options *connOptions) *Conn {
	*u.hijacker.buffers.Reader = *bufio.NewReaderSize(u.hijacker.view, gorillaReadBuffer)
	u.mu.Lock() // abort must not run while newConn does
	defer u.mu.Unlock()
	return newConn(r.Context(), gorilla, u.t, options)
}

// abort ends the upgrade at its current step: the 101 response can't be written any more.
func (u *upgrade) abort() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.aborted = true
	if u.t != nil {
		u.t.Abort()
	}
}
