package websocket

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	ws "github.com/gorilla/websocket"
)

// retryAfter is the Retry-After header, in seconds, of an upgrade that may succeed
// later: the server shuts down, or has too much to do.
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
	invalid error          // what is wrong with the options
	origins originPatterns // AllowedOrigins
	live    register
	buffers sync.Pool // gorilla's, to write with

	readBuffers sync.Pool
}

// NewEndpoint returns an Endpoint with the given options. It refuses every
// upgrade with 500 if they are not valid: see [Options.Validate].
func NewEndpoint(options Options) *Endpoint {
	e := &Endpoint{options: options, invalid: options.Validate()}
	e.origins, _ = parseOrigins(options.AllowedOrigins) // its error is one of Validate's
	return e
}

// Guard has f call every function that belongs to a connection: the serve of Run, and
// those of Conn.Go and Conn.AfterFunc. It is for an adapter whose framework has errors
// of its own: f calls the function it is given, once, and returns its error or what it
// makes of it; a panic that it recovers is a *PanicError. One that it lets pass is
// recovered all the same, and runtime.Goexit must be let pass. Call Guard before the
// first Accept. Nil, and an Endpoint without Guard, call the functions as they are.
func (e *Endpoint) Guard(f func(call func() error) error) { e.options.guard = f }

// Handshake is what an adapter knows of one request.
type Handshake struct {
	// Settings are gorilla's. Error and CheckOrigin are ignored. Nil means the
	// zero value.
	Settings *ws.Upgrader

	// Header is added to the 101 response.
	Header http.Header

	// CheckOrigin decides about the request's origin. Nil leaves that to the
	// options: its host must be the request's, or AllowedOrigins have it, or
	// InsecureSkipOriginCheck is set.
	CheckOrigin func() bool

	// CheckUpgrade refuses a handshake in which nothing else is wrong, before the
	// connection counts for MaxConnections: see [UpgradeChecker]. Nil refuses
	// none.
	CheckUpgrade func() (status int, reason error)

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
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			w.Header().Set("Retry-After", retryAfter)
		}
		h.Refuse(status, reason)
	}
	hj := &hijacker{ResponseWriter: w, options: &e.options, live: &e.live, readBuffers: &e.readBuffers}
	if !e.live.begin(hj) {
		refuse(http.StatusServiceUnavailable, ErrShutdown)
		return nil, refused
	}
	var conn *Conn
	defer func() {
		if conn == nil { // also when a function in h panics
			hj.cut() // what may have been hijacked
			e.live.abandon(hj)
		}
	}()
	if e.invalid != nil {
		refuse(http.StatusInternalServerError, e.invalid)
		return nil, refused
	}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 { // RFC 6455, 4.2.1; HTTP/2 has no Upgrade
		refuse(http.StatusBadRequest, fmt.Errorf("websocket: only HTTP/1.1 can be upgraded, the request is %s", r.Proto))
		return nil, refused
	}

	h.Header = canonical(h.Header)
	request := oneProtocolLine(r)
	upgrader := e.upgrader(request, h, hj)
	upgrader.Error = func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
		if hj.reason != nil {
			status, reason = hj.status, hj.reason
		}
		refuse(status, reason)
	}
	gorilla, err := upgrader.Upgrade(hj, request, h.Header)
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		err = fmt.Errorf("websocket: writing the handshake's response: %w", err)
		level := slog.LevelDebug // the client's doing
		if isPanic(err) {
			level = slog.LevelError
		}
		e.options.log(r.Context(), level, err, slog.String("remote", r.RemoteAddr))
		return nil, err
	}
	conn = hj.conn(r.Context(), gorilla, upgrader.WriteBufferPool != &e.buffers)
	if down := e.live.add(hj, conn); down {
		conn.shutDown()
	}
	return conn, nil
}

// admit returns why a handshake that is valid is refused all the same: it is
// asked last.
func (e *Endpoint) admit(r *http.Request, h Handshake, subprotocols []string) (status int, reason error) {
	if err := checkHandshake(r); err != nil {
		return http.StatusBadRequest, err
	}
	if e.options.RequireSubprotocol {
		if err := checkSubprotocol(r, subprotocols, h.Header); err != nil {
			return http.StatusBadRequest, err
		}
	}
	if h.CheckUpgrade == nil {
		return 0, nil
	}
	status, reason = h.CheckUpgrade()
	switch {
	case status >= 400 && status <= 599 && reason == nil:
		reason = fmt.Errorf("websocket: refused: %s", cmp.Or(http.StatusText(status), strconv.Itoa(status)))
	case reason == nil && status != 0 && (status < 200 || status > 299):
		reason = fmt.Errorf("websocket: CheckUpgrade refuses with status %d, want 400 to 599", status)
		status = http.StatusInternalServerError
	case reason != nil && (status < 400 || status > 599):
		reason = fmt.Errorf("websocket: CheckUpgrade refuses with status %d, want 400 to 599: %w", status, reason)
		status = http.StatusInternalServerError
	}
	return status, reason
}

// upgrader is gorilla's with the settings of the handshake, as far as they
// concern it, and ours for the rest.
func (e *Endpoint) upgrader(r *http.Request, h Handshake, hj *hijacker) *ws.Upgrader {
	u := &ws.Upgrader{}
	if h.Settings != nil {
		*u = *h.Settings
	}
	u.CheckOrigin = func(r *http.Request) bool {
		hj.status, hj.reason = http.StatusForbidden, e.checkOrigin(r, h.CheckOrigin)
		return hj.reason == nil
	}
	hj.admit = func() (int, error) { return e.admit(r, h, u.Subprotocols) }
	u.EnableCompression = u.EnableCompression && offersDeflate(r.Header)
	hj.readBuffer = u.ReadBufferSize
	u.ReadBufferSize = 0 // that of the hijacker
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
