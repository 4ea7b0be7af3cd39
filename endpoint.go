package websocket

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	ws "github.com/gorilla/websocket"
)

// retryAfter is the Retry-After header, in seconds, of an upgrade refused
// because the server shuts down.
const retryAfter = "5"

// Endpoint is what a framework's adapter stands on: it upgrades the requests of
// one route and lives through their connections. It knows nothing of the
// framework. All methods may be called from any goroutine. The zero value is
// ready to use, with the default options.
//
// An adapter calls Accept on the HTTP handler's goroutine, gives its request the
// connection's context, calls Run and returns from the handler.
type Endpoint struct {
	options Options
	live    register
	buffers sync.Pool // gorilla's, to write with
}

// NewEndpoint returns an Endpoint with the given options.
func NewEndpoint(options Options) *Endpoint { return &Endpoint{options: options} }

// Handshake is what an adapter knows of one request.
type Handshake struct {
	// Settings are gorilla's. Error and CheckOrigin are ignored. Nil means the
	// zero value.
	Settings *ws.Upgrader

	// Header is added to the 101 response.
	Header http.Header

	// CheckOrigin decides about the request's origin. Nil means that its host
	// must be the request's.
	CheckOrigin func() bool

	// Refuse writes the HTTP response of a refused upgrade. It is called at most
	// once, before Accept returns.
	Refuse func(status int, reason error)
}

// Accept upgrades a request. It returns the connection when the 101 response is
// sent; Run must follow. Otherwise h.Refuse has answered or, where the response
// could not be written, the connection that was already hijacked is closed;
// nothing is left to do then.
//
// Panics of the functions in h pass through, before anything was hijacked.
// Nothing of the handshake is kept.
func (e *Endpoint) Accept(w http.ResponseWriter, r *http.Request, h Handshake) (*Conn, error) {
	var refused error
	refuse := func(status int, reason error) {
		refused = reason
		e.live.refused(status)
		e.observe(r.Context(), func(o Observer) { o.UpgradeRefused(r, status, reason) })
		w.Header().Set("Sec-Websocket-Version", "13")
		switch status {
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", http.MethodGet)
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", retryAfter)
		}
		h.Refuse(status, reason)
	}
	hj := &hijacker{ResponseWriter: w, options: &e.options}
	if !e.live.begin(hj) {
		refuse(http.StatusServiceUnavailable, ErrShutdown)
		return nil, refused
	}
	var conn *Conn
	defer func() {
		if conn == nil { // also when a function in h panics
			e.live.abandon(hj)
		}
	}()
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 { // RFC 6455, 4.2.1; HTTP/2 has no Upgrade
		refuse(http.StatusBadRequest, fmt.Errorf("websocket: only HTTP/1.1 can be upgraded, the request is %s", r.Proto))
		return nil, refused
	}

	upgrader := e.upgrader(h, hj)
	var badOrigin error
	upgrader.CheckOrigin = func(r *http.Request) bool {
		if h.CheckOrigin == nil {
			badOrigin = checkSameOrigin(r)
		} else if !h.CheckOrigin() {
			badOrigin = originError(r)
		}
		return badOrigin == nil
	}
	upgrader.Error = func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
		if better := cmp.Or(badOrigin, hj.err); better != nil {
			reason = better
		}
		refuse(status, reason)
	}
	gorilla, err := upgrader.Upgrade(hj, r, canonical(h.Header))
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		err = fmt.Errorf("websocket: writing the handshake's response: %w", err)
		e.options.log(r.Context(), slog.LevelDebug, err, slog.String("remote", r.RemoteAddr))
		return nil, err
	}
	pooled := upgrader.WriteBufferPool != &e.buffers
	conn = newConn(r.Context(), gorilla, hj.t, &e.options, pooled)
	if down := e.live.add(hj, conn); down {
		conn.shutDown()
	}
	return conn, nil
}

// upgrader is gorilla's with the settings of the handshake, as far as they
// concern it, and ours for the rest.
func (e *Endpoint) upgrader(h Handshake, hj *hijacker) ws.Upgrader {
	var u ws.Upgrader
	if h.Settings != nil {
		u = *h.Settings
	}
	hj.readBuffer = u.ReadBufferSize
	u.ReadBufferSize = gorillaReadBuffer
	if u.WriteBufferPool == nil {
		u.WriteBufferPool = &e.buffers
	}
	if u.HandshakeTimeout == 0 {
		u.HandshakeTimeout = e.options.writeTimeout()
	}
	return u
}

// canonical spells the names of headers as gorilla looks for them:
// "Sec-WebSocket-Protocol" in a map literal is another key.
func canonical(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	c := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	return c
}
