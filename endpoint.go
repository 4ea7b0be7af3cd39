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
	"github.com/goyave-contrib/websocket/internal/handshake"
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
	invalid error                    // what is wrong with the options
	origins handshake.OriginPatterns // AllowedOrigins
	live    connSet
	buffers sync.Pool // gorilla's, to write with

	readBuffers sync.Pool
	config      atomic.Pointer[config] // that transports were given last; nil: none yet
}

// NewEndpoint returns an Endpoint with the given options. It refuses every
// upgrade with 500 if they are not valid: see [Options.Validate].
func NewEndpoint(options Options) *Endpoint {
	e := &Endpoint{options: options, invalid: options.Validate()}
	e.origins, _ = handshake.ParseOrigins(options.AllowedOrigins) // its error is one of Validate's
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
	u := new(upgrade)
	if !e.live.begin(u) {
		return nil, e.rejectUpgrade(w, r, &h, &refusal{http.StatusServiceUnavailable, ErrShutdown})
	}
	var conn *Conn
	defer func() {
		if conn == nil { // also where a function in h panics
			u.abort() // what may have been hijacked
			e.live.abandon(u)
		}
	}()
	h.Header = handshake.CanonicalHeader(h.Header)
	if h.Settings == nil {
		h.Settings = &ws.Upgrader{}
	}
	agreed, refused := e.check(r, &h)
	if refused == nil && !e.live.admit(u, e.options.MaxConnections) {
		refused = &refusal{http.StatusServiceUnavailable, ErrTooManyConnections}
	}
	if refused != nil {
		return nil, e.rejectUpgrade(w, r, &h, refused)
	}
	nc, rw, err := hijack(w)
	if err != nil {
		e.live.release(u)
		return nil, e.rejectUpgrade(w, r, &h, &refusal{http.StatusInternalServerError, err})
	}
	u.takeOver(nc, rw, e.transportConfig(h.Settings.ReadBufferSize), agreed)
	gorilla, err := u.switchProtocols(e.upgrader(h.Settings), agreed, h.Header)
	if err != nil {
		return nil, e.switchFailed(r, err)
	}
	conn = u.connection(r, gorilla, &e.options, h.Settings.WriteBufferPool != nil)
	if stopped := e.live.replace(u, conn); stopped {
		conn.shutDown()
	}
	return conn, nil
}

// switchFailed logs why a connection was lost after it had been taken over. It returns the
// reason.
func (e *Endpoint) switchFailed(r *http.Request, err error) error {
	what, level := "writing the handshake's response", slog.LevelDebug // the client hung up
	var mistake ws.HandshakeError
	switch {
	case errors.As(err, &mistake):
		what, level = "gorilla refuses a handshake that was checked", slog.LevelError
	case isPanic(err):
		level = slog.LevelError
	}
	err = fmt.Errorf("websocket: %s: %w", what, err)
	e.options.log(r.Context(), level, err, slog.String("remote", r.RemoteAddr))
	return err
}

// A refusal is how a request is answered that is not upgraded.
type refusal struct {
	status int
	reason error
}

// rejectUpgrade answers a request that is not upgraded. It returns the reason.
func (e *Endpoint) rejectUpgrade(w http.ResponseWriter, r *http.Request, h *Handshake, refused *refusal) error {
	status, reason := refused.status, refused.reason
	e.live.rejected(status)
	e.observe(r.Context(), func(o *Observer) { o.upgradeRefused(r, status, reason) })
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

// check returns what a handshake has agreed on, or why it is refused. It looks at all that
// can be known before the connection is taken over, and asks the application when nothing
// else is wrong.
func (e *Endpoint) check(r *http.Request, h *Handshake) (agreed agreement, refused *refusal) {
	if e.invalid != nil {
		return agreed, &refusal{http.StatusInternalServerError, e.invalid}
	}
	opening, status, reason := handshake.ReadRequest(r)
	if reason != nil {
		return agreed, &refusal{status, reason}
	}
	ours := h.Settings.Subprotocols
	if err := handshake.CheckHeader(ours, h.Header); err != nil {
		return agreed, &refusal{http.StatusInternalServerError, err}
	}
	if err := e.checkOrigin(r, h.CheckOrigin); err != nil {
		return agreed, &refusal{http.StatusForbidden, err}
	}
	offered := r.Header["Sec-Websocket-Protocol"]
	agreed.key, agreed.subprotocol = opening.Key, handshake.SelectSubprotocol(offered, ours, h.Header)
	if e.options.RequireSubprotocol && !handshake.IsOffered(offered, agreed.subprotocol) {
		return agreed, &refusal{http.StatusBadRequest, handshake.NoSubprotocolError(offered, ours, h.Header)}
	}
	if h.Settings.EnableCompression {
		agreed.deflate, agreed.window = handshake.OffersDeflate(opening.Extensions)
	}
	if status, reason := askCheckUpgrade(h.CheckUpgrade); reason != nil {
		return agreed, &refusal{status, reason}
	}
	return agreed, nil
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

// upgrader is gorilla's, with the settings that concern the connection it makes. What it
// could refuse was checked before.
func (e *Endpoint) upgrader(settings *ws.Upgrader) *ws.Upgrader {
	u := &ws.Upgrader{
		HandshakeTimeout:  settings.HandshakeTimeout,
		WriteBufferSize:   settings.WriteBufferSize,
		WriteBufferPool:   settings.WriteBufferPool,
		Subprotocols:      settings.Subprotocols,
		EnableCompression: settings.EnableCompression,
	}
	if u.WriteBufferPool == nil {
		u.WriteBufferPool = &e.buffers
	}
	if u.HandshakeTimeout == 0 {
		u.HandshakeTimeout = e.options.writeTimeout()
	}
	return u
}
