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

// Gorilla has a read buffer of its own, which is to be small: it reads the headers of
// data frames through it, and all else goes past it. Sizes are in bytes.
const (
	adoptedReadBuffer = 257 // the least that gorilla takes if it is given
	gorillaReadBuffer = 16  // the least that bufio has
)

// An agreement is what the two ends have agreed on in a handshake.
type agreement struct {
	key         []string // the client's, to be answered
	subprotocol string   // "" for none
	deflate     bool     // permessage-deflate
	window      bool     // the response must confirm the largest window
}

// extensionsHeader is spelled as in RFC 6455. Gorilla would take the header in net/http's
// spelling for the application's, and refuse it. It does not know of compression.
const extensionsHeader = "Sec-WebSocket-Extensions"

// extensions is what the response says of compression (RFC 7692, 7.1).
func (a *agreement) extensions() string {
	if a.window {
		return handshake.DeflateTerms + handshake.LargestWindow
	}
	return handshake.DeflateTerms
}

// An upgrade is a request on its way to a connection.
type upgrade struct {
	admitted bool // counts for MaxConnections; guarded by the connSet

	taken takenOver // what gorilla gets

	mu      sync.Mutex
	t       *transport.Conn // nil until the connection is taken over
	aborted bool
}

// takenOver is what gorilla is given as an http.Hijacker, for a connection that was taken
// over before. Gorilla asks it for nothing else.
type takenOver struct {
	http.ResponseWriter
	view    *transport.GorillaView
	buffers bufio.ReadWriter // the reader of the view, and the HTTP server's writer
}

func (w *takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.view, &w.buffers, nil }

// hijack takes over the connection of a writer, behind those that middleware wrapped. A
// Hijack that is not net/http's own may lack something.
func hijack(w http.ResponseWriter) (nc net.Conn, rw *bufio.ReadWriter, err error) {
	nc, rw, err = http.NewResponseController(w).Hijack()
	switch {
	case err != nil:
	case nc == nil:
		err = errors.New("Hijack returned no connection")
	case rw == nil || rw.Reader == nil || rw.Writer == nil: // what came early is lost
		_ = transport.Strict(nc, recoveredPanics).Close()
		err = errors.New("Hijack returned no buffers")
	default:
		return nc, rw, nil
	}
	return nil, nil, fmt.Errorf("websocket: the connection can't be taken over from "+
		"the HTTP server (HTTP/2, or a writer of a middleware without an Unwrap method): %w", err)
}

// takeOver puts a transport in the place of a connection that was hijacked. What the client
// sent early goes to the transport: gorilla would hang up.
func (u *upgrade) takeOver(nc net.Conn, rw *bufio.ReadWriter, c *transport.Config, agreed agreement) {
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what is buffered can be peeked at
	t := transport.New(nc, early, c)
	if agreed.deflate {
		t.UseDeflate()
	}
	_, _ = rw.Reader.Discard(len(early)) // the connection may be one that reads through it
	u.taken.view = (*transport.GorillaView)(t)
	u.taken.buffers.Reader = bufio.NewReaderSize(u.taken.view, adoptedReadBuffer)
	u.taken.buffers.Writer = rw.Writer
	u.mu.Lock()
	defer u.mu.Unlock()
	u.t = t
	if u.aborted {
		t.Abort()
	}
}

// noSubprotocols has gorilla select none. Where its list is nil, it looks at the header of
// the response.
var noSubprotocols = []string{}

// gorillaRequests are requests in gorilla's words: it looks at no more than that. Their key
// and subprotocol are set for one handshake.
var gorillaRequests = sync.Pool{New: func() any {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
	}}
}}

// switchProtocols has gorilla write the 101 response and make its connection, of which the
// transport is the network. A ws.HandshakeError says that gorilla refuses what was checked
// before, which is a mistake of ours.
func (u *upgrade) switchProtocols(upgrader *ws.Upgrader, agreed agreement, header http.Header) (*ws.Conn, error) {
	upgrader.CheckOrigin = func(*http.Request) bool { return true }
	upgrader.Error = func(http.ResponseWriter, *http.Request, int, error) {} // there is no HTTP left to answer with
	r := gorillaRequests.Get().(*http.Request)                               //nolint:errcheck // nothing else is put there
	r.Header["Sec-Websocket-Key"] = agreed.key
	upgrader.Subprotocols = noSubprotocols
	if agreed.subprotocol != "" {
		upgrader.Subprotocols = []string{agreed.subprotocol}
		r.Header["Sec-Websocket-Protocol"] = upgrader.Subprotocols
	}
	defer func() {
		delete(r.Header, "Sec-Websocket-Key")
		delete(r.Header, "Sec-Websocket-Protocol")
		gorillaRequests.Put(r) // gorilla keeps nothing of it
	}()
	if agreed.deflate {
		if header == nil {
			header = http.Header{}
		}
		header[extensionsHeader] = []string{agreed.extensions()}
	}
	return upgrader.Upgrade(&u.taken, r, header)
}

// connection makes a connection of what gorilla has upgraded. It lets gorilla go on with a
// small read buffer: gorilla offers no way to have one, as it wants to read control frames
// through it, which it never gets to see.
func (u *upgrade) connection(r *http.Request, gorilla *ws.Conn, options *connOptions) *Conn {
	*u.taken.buffers.Reader = *bufio.NewReaderSize(u.taken.view, gorillaReadBuffer)
	u.mu.Lock() // abort comes before or after
	defer u.mu.Unlock()
	return newConn(r.Context(), gorilla, u.t, options)
}

// abort ends the upgrade where it is: its 101 can't be written.
func (u *upgrade) abort() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.aborted = true
	if u.t != nil {
		u.t.Abort()
	}
}
