package websocket

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
)

// Endpoint is what a framework's adapter stands on: it upgrades the requests of
// one route and lives through their connections. It knows nothing of the
// framework. All methods may be called from any goroutine. The zero value is
// ready to use, with the default options.
//
// An adapter calls Accept on the HTTP handler's goroutine, gives its request the
// connection's context, calls Serve and returns from the handler; or it calls Run, where
// nothing that the connection's Serve uses is used for another request once the handler has
// returned.
type Endpoint struct {
	options Options
	invalid error                    // what is wrong with the options
	origins handshake.OriginPatterns // AllowedOrigins
	live    connSet
	buffers sync.Pool // gorilla's, to write with

	guard    func(call func() error) error // see Guard
	resolve  sync.Once
	resolved *connOptions // by connOptions

	readBuffers sync.Pool
	config      atomic.Pointer[transport.Config] // that transports were given last; nil: none yet
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
func (e *Endpoint) Guard(f func(call func() error) error) { e.guard = f }

// connOptions returns the settings of connections. They are resolved at the first call, for
// the zero Endpoint has no constructor.
func (e *Endpoint) connOptions() *connOptions {
	e.resolve.Do(func() {
		e.resolved = e.options.resolve()
		e.resolved.guard = e.guard
	})
	return e.resolved
}

// transportConfig returns the settings of a transport with buffers of the given sizes. The
// one made last serves as long as the sizes are the same: Settings are read at each
// request, but hardly ever changed.
func (e *Endpoint) transportConfig(readBufferSize, writeBufferSize int) *transport.Config {
	if c := e.config.Load(); c != nil && c.ReadBufferSize == readBufferSize && c.WriteBufferSize == writeBufferSize {
		return c
	}
	c := e.connOptions().config(&e.readBuffers, readBufferSize, writeBufferSize)
	e.config.Store(c)
	return c
}

// Handshake is what an adapter knows of one request.
type Handshake struct {
	// Settings are gorilla's; those that the Options have as well count where the Options
	// say nothing. Error and CheckOrigin are ignored. Nil means the zero value.
	Settings *ws.Upgrader

	// Subprotocols are those for this request, the preferred one first, in place of the
	// Options' and the Settings'. Nil stands for those.
	Subprotocols []string

	// Subprotocol is that of the connection where the adapter has selected it, whatever
	// the client offers: a token (RFC 9110, 5.6.2). Empty leaves it to the Endpoint.
	Subprotocol string

	// Header is added to the 101 response.
	Header http.Header

	// CheckOrigin decides about the request's origin. Nil leaves that to the
	// options: its host must be the request's, or AllowedOrigins have it, or
	// InsecureSkipOriginCheck is set.
	CheckOrigin func() bool

	// CheckUpgrade refuses a handshake in which nothing else is wrong, before the
	// connection counts for MaxConnections, with an error: see [UpgradeChecker]. Nil
	// refuses none.
	CheckUpgrade func() error

	// Refuse writes the HTTP response of a refused upgrade, whose headers are set as the
	// status asks for. A client that asks for no upgrade (ErrNotHandshake) should be told
	// the reason. It is called at most once, before Accept returns.
	Refuse func(status int, reason error)
}

// Accept upgrades a request. It returns the connection when the 101 response is
// sent; Run or Serve must follow. Otherwise h.Refuse has answered or, where the response
// could not be written, the connection that was already hijacked is closed;
// nothing is left to do then.
//
// Panics of the functions in h pass through, before anything was hijacked.
// Nothing of the handshake is kept.
func (e *Endpoint) Accept(w http.ResponseWriter, r *http.Request, h Handshake) (*Conn, error) {
	u := new(upgrade)
	if !e.live.begin(u) {
		return nil, e.rejectUpgrade(w, r, &h, &refusal{status: http.StatusServiceUnavailable, reason: ErrShutdown})
	}
	var conn *Conn
	defer func() {
		if conn == nil { // also where a function in h panics
			u.abort() // what may have been hijacked
			e.live.abandon(u)
		}
	}()
	h.Header = handshake.CanonicalHeader(h.Header)
	h.Settings = e.settings(&h)
	agreed, refused := e.check(r, &h)
	if refused == nil && !e.live.admit(u, e.options.MaxConnections) {
		refused = &refusal{status: http.StatusServiceUnavailable, reason: ErrTooManyConnections}
	}
	if refused != nil {
		return nil, e.rejectUpgrade(w, r, &h, refused)
	}
	nc, rw, err := hijack(w)
	if err != nil {
		e.live.release(u)
		return nil, e.rejectUpgrade(w, r, &h, &refusal{status: http.StatusInternalServerError, reason: err})
	}
	u.takeOver(nc, rw, e.transportConfig(h.Settings.ReadBufferSize, h.Settings.WriteBufferSize), agreed)
	gorilla, err := u.switchProtocols(e.upgrader(h.Settings), agreed, h.Header)
	if err != nil {
		return nil, e.switchFailed(r, err)
	}
	conn = u.connection(r, gorilla, e.connOptions())
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
	e.options.log(r.Context(), level, logUnanswered, err, slog.String("remote", r.RemoteAddr))
	return err
}

// check returns what a handshake has agreed on, or why it is refused. It looks at all that
// can be known before the connection is taken over, and asks the application when nothing
// else is wrong.
func (e *Endpoint) check(r *http.Request, h *Handshake) (agreed agreement, refused *refusal) {
	if e.invalid != nil {
		return agreed, &refusal{status: http.StatusInternalServerError, reason: e.invalid}
	}
	opening, status, reason := handshake.ReadRequest(r)
	if reason != nil {
		return agreed, &refusal{status: status, reason: reason}
	}
	ours := h.Settings.Subprotocols
	if h.Subprotocol != "" {
		ours = []string{h.Subprotocol}
	}
	if err := handshake.CheckHeader(ours, h.Header); err != nil {
		return agreed, &refusal{status: http.StatusInternalServerError, reason: err}
	}
	if err := e.checkOrigin(r, h.CheckOrigin); err != nil {
		return agreed, &refusal{status: http.StatusForbidden, reason: err}
	}
	offered := r.Header["Sec-Websocket-Protocol"]
	agreed.key = opening.Key
	agreed.subprotocol = cmp.Or(h.Subprotocol, handshake.SelectSubprotocol(offered, ours, h.Header))
	if e.options.RequireSubprotocol && !handshake.IsOffered(offered, agreed.subprotocol) {
		return agreed, &refusal{status: http.StatusBadRequest, reason: handshake.NoSubprotocolError(offered, ours, h.Header)}
	}
	if h.Settings.EnableCompression {
		agreed.deflate, agreed.window = handshake.OffersDeflate(opening.Extensions)
	}
	if h.CheckUpgrade != nil {
		if err := h.CheckUpgrade(); err != nil {
			return agreed, refusedByCheck(err)
		}
	}
	return agreed, nil
}

// settings returns the settings for a request: the adapter's, the Options and gorilla's, in
// this order. They are the caller's to change.
func (e *Endpoint) settings(h *Handshake) *ws.Upgrader {
	s := &ws.Upgrader{}
	if given := h.Settings; given != nil {
		s.HandshakeTimeout, s.Subprotocols, s.EnableCompression = given.HandshakeTimeout, given.Subprotocols, given.EnableCompression
		s.ReadBufferSize, s.WriteBufferSize, s.WriteBufferPool = given.ReadBufferSize, given.WriteBufferSize, given.WriteBufferPool
	}
	e.options.override(s)
	if h.Subprotocols != nil {
		s.Subprotocols = h.Subprotocols
	}
	return s
}

// upgrader makes settings what gorilla is given. What it could refuse was checked before.
func (e *Endpoint) upgrader(settings *ws.Upgrader) *ws.Upgrader {
	settings.ReadBufferSize = 0 // takeOver gives it a reader
	if settings.WriteBufferPool == nil {
		settings.WriteBufferPool = &e.buffers
	}
	if settings.HandshakeTimeout == 0 {
		settings.HandshakeTimeout = e.connOptions().writeTimeout
	}
	return settings
}

// checkOrigin decides whether pages of the request's origin may connect, and says
// why not. Decide, where it is not nil, decides alone.
func (e *Endpoint) checkOrigin(r *http.Request, decide func() bool) error {
	var allowed bool
	switch {
	case decide != nil:
		allowed = decide()
	case e.options.InsecureSkipOriginCheck:
		allowed = true
	default:
		allowed = handshake.IsSameOrigin(r) || e.origins.Allow(r)
	}
	if !allowed {
		return fmt.Errorf("websocket: origin %q is not allowed on host %q", r.Header["Origin"], r.Host)
	}
	return nil
}
