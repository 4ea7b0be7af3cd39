package websocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	ws "github.com/gorilla/websocket"
)

// Gorilla has a read buffer of its own, which is to be small: it reads the headers of
// data frames through it, and all else goes past it. Sizes are in bytes.
const (
	adoptedReadBuffer = 257 // the least that gorilla takes if it is given
	gorillaReadBuffer = 16  // the least that bufio has
)

// An upgrade has gorilla take over a transport instead of the connection itself.
// It finds the connection behind writers that middleware wrapped.
type upgrade struct {
	http.ResponseWriter
	options *Options
	config  *config // of the transport
	live    *connSet

	deflate bool // permessage-deflate is agreed on
	window  bool // and the client wants the largest one confirmed

	// Why there is no upgrade, although the handshake is a good one: the first reason.
	status int
	reason error

	t        *transport    // set by Hijack, as is the next
	reader   *bufio.Reader // gorilla's
	admitted bool          // counts for MaxConnections; guarded by live

	mu      sync.Mutex
	aborted bool
}

// refuse keeps the answer for Accept.
func (h *upgrade) refuse(status int, reason error) {
	if h.reason == nil {
		h.status, h.reason = status, reason
	}
}

// Hijack keeps what the client sent early for the transport, so gorilla, which
// would hang up, sees none of it. There is no way back to an HTTP response then.
func (h *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := hijack(h.ResponseWriter)
	if err != nil {
		h.live.release(h)
		h.refuse(http.StatusInternalServerError, fmt.Errorf("websocket: the connection can't be taken over from "+
			"the HTTP server (HTTP/2, or a writer of a middleware without an Unwrap method): %w", err))
		return nil, nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what is buffered can be peeked at
	h.mu.Lock()
	h.t = newTransport(nc, early, h.config)
	h.t.deflate, h.t.owner = h.deflate, nobody{window: h.window}
	if h.aborted {
		h.t.abort()
	}
	h.mu.Unlock()
	_, _ = rw.Reader.Discard(len(early)) // the connection may be one that reads through it
	h.reader = bufio.NewReaderSize(h.t, adoptedReadBuffer)
	return h.t, bufio.NewReadWriter(h.reader, rw.Writer), nil
}

// conn makes a connection of what gorilla has upgraded. Abort comes before or after.
func (h *upgrade) conn(request context.Context, gorilla *ws.Conn, pooled bool) *Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shrink()
	return newConn(request, gorilla, h.t, h.options, pooled)
}

// shrink has gorilla go on with a small buffer. Gorilla offers no way to have one, as it
// wants to read control frames through it, which it never gets to see.
func (h *upgrade) shrink() { *h.reader = *bufio.NewReaderSize(h.t, gorillaReadBuffer) }

// hijack takes over the connection of a writer, whose own Hijack need not be that
// of net/http.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	switch {
	case err != nil:
		return nil, nil, err
	case nc == nil:
		return nil, nil, errors.New("Hijack returned no connection")
	case rw == nil || rw.Reader == nil || rw.Writer == nil: // what came early is lost
		_ = strict(nc).Close()
		return nil, nil, errors.New("Hijack returned no buffers")
	}
	return nc, rw, nil
}

// abort ends the upgrade where it is: its 101 can't be written.
func (h *upgrade) abort() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.aborted = true
	if h.t != nil {
		h.t.abort()
	}
}
