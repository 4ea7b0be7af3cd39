package websocket

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

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
	live    connSet
	buffers sync.Pool // gorilla's, to write with

	readBuffers sync.Pool
	config      atomic.Pointer[config] // that transports were given last; nil: none yet
}

// NewEndpoint returns an Endpoint with the given options. It refuses every
// upgrade with 500 if they are not valid: see [Options.Validate].
func NewEndpoint(options Options) *Endpoint {
	e := &Endpoint{options: options, invalid: options.Validate()}
	e.origins, _ = parseOrigins(options.AllowedOrigins) // its error is one of Validate's
	return e
}

// Guard has f call the functions that are given to Conn.Go and Conn.BeforeClose. It is for
// adapters to frameworks that have errors of their own: an adapter makes such errors of
// what Serve returns, and f does the same for these functions.
//
// f calls the function that it is given, once, and returns its error or another one in its
// place. It may recover a panic, and returns a *PanicError then; a panic that it does not
// recover is recovered by the Endpoint. It must not stop a runtime.Goexit. Call Guard
// before the first Accept. Nil means that the functions are called as they are.
func (e *Endpoint) Guard(f func(call func() error) error) { e.options.guard = f }

// transportConfig returns the settings of a transport with a read buffer of the given size.
// The one made last serves as long as the size is the same: Settings are read at each
// request, but hardly ever changed.
func (e *Endpoint) transportConfig(readBufferSize int) *config {
	if c := e.config.Load(); c != nil && c.ReadBufferSize == readBufferSize {
		return c
	}
	c := e.options.config(&e.readBuffers, readBufferSize)
	e.config.Store(c)
	return c
}

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

	// Refuse writes the HTTP response of a refused upgrade, whose headers are set as the
	// status asks for. A client that asks for no upgrade (ErrNotHandshake) should be told
	// the reason. It is called at most once, before Accept returns.
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
	hj := &upgrade{ResponseWriter: w, options: &e.options, live: &e.live}
	if !e.live.begin(hj) {
		return nil, e.refuse(w, r, &h, http.StatusServiceUnavailable, ErrShutdown)
	}
	var conn *Conn
	defer func() {
		if conn == nil { // also when a function in h panics
			hj.abort() // what may have been hijacked
			e.live.abandon(hj)
		}
	}()
	h.Header = canonical(h.Header)
	upgrader := e.upgrader(&h, hj)
	opening, status, reason := e.judge(r, &h, upgrader, hj)
	if reason != nil {
		return nil, e.refuse(w, r, &h, status, reason)
	}
	gorilla, err := opening.upgrade(upgrader, hj, h.Header)
	switch {
	case hj.reason != nil:
		return nil, e.refuse(w, r, &h, hj.status, hj.reason)
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
	if down := e.live.replace(hj, conn); down {
		conn.shutDown()
	}
	return conn, nil
}

// refuse answers a request that is not upgraded. It returns the reason.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, h *Handshake, status int, reason error) error {
	e.live.rejected(status)
	e.observe(r.Context(), func(o Observer) { o.UpgradeRefused(r, status, reason) })
	if errors.Is(reason, ErrNotHandshake) {
		e.options.log(r.Context(), slog.LevelDebug, reason, slog.String("remote", r.RemoteAddr), slog.Int("status", status))
	}
	header := w.Header()
	header.Set("Sec-Websocket-Version", "13")
	switch status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodGet)
	case http.StatusUpgradeRequired: // RFC 9110, 7.8 and 15.5.22
		header.Set("Upgrade", "websocket")
		header.Set("Connection", "Upgrade")
		if r.Close { // net/http would have nothing but that
			header.Set("Connection", "Upgrade, close")
		}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		header.Set("Retry-After", retryAfter)
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 { // else net/http would answer when the body has come
		header.Set("Connection", "close")
	}
	h.Refuse(status, reason)
	return reason
}

// judge returns the handshake that gorilla is to answer or, with a status, why it is
// refused. It asks the application when nothing else is wrong.
func (e *Endpoint) judge(r *http.Request, h *Handshake, upgrader *ws.Upgrader, hj *upgrade) (o opening, status int, reason error) {
	if e.invalid != nil {
		return o, http.StatusInternalServerError, e.invalid
	}
	if o, status, reason = readOpening(r); reason != nil {
		return o, status, reason
	}
	if reason = checkAnswer(upgrader.Subprotocols, h.Header); reason != nil {
		return o, http.StatusInternalServerError, reason
	}
	if reason = e.checkOrigin(r, h.CheckOrigin); reason != nil {
		return o, http.StatusForbidden, reason
	}
	offered := r.Header["Sec-Websocket-Protocol"]
	o.subprotocol = selectSubprotocol(offered, upgrader.Subprotocols, h.Header)
	if e.options.RequireSubprotocol && !isOffered(offered, o.subprotocol) {
		return o, http.StatusBadRequest, noSubprotocol(offered, upgrader.Subprotocols, h.Header)
	}
	if status, reason = askCheckUpgrade(h.CheckUpgrade); reason != nil {
		return o, status, reason
	}
	if !e.live.admit(hj, e.options.MaxConnections) {
		return o, http.StatusServiceUnavailable, ErrTooManyConnections
	}
	if upgrader.EnableCompression {
		hj.deflate, hj.window = offersDeflate(o.extensions)
		upgrader.EnableCompression = hj.deflate
	}
	return o, 0, nil
}

// askCheckUpgrade returns why the application refuses a handshake that is valid.
func askCheckUpgrade(check func() (int, error)) (status int, reason error) {
	if check == nil {
		return 0, nil
	}
	status, reason = check()
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

// upgrader is gorilla's with the settings of the handshake, as far as they concern it.
// What it could refuse has been judged before.
func (e *Endpoint) upgrader(h *Handshake, hj *upgrade) *ws.Upgrader {
	u := &ws.Upgrader{}
	if h.Settings != nil {
		*u = *h.Settings
	}
	u.CheckOrigin = func(*http.Request) bool { return true }
	u.Error = func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		w.(*upgrade).refuse(status, reason) //nolint:errcheck // it is what gorilla is given
	}
	hj.config = e.transportConfig(u.ReadBufferSize)
	u.ReadBufferSize = 0 // that of the upgrade
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
