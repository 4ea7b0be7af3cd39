package websocket

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
)

// Endpoint is the base of a framework's adapter: it upgrades the requests of one route and
// manages their connections until they have ended. It does not depend on the framework. All
// methods may be called from any goroutine, but Guard only before the first Accept. The
// zero value is ready to use, with the default options.
//
// An adapter calls Accept on the HTTP handler's goroutine, gives its request the
// connection's context and calls Serve, which returns when the connection has ended. It may
// call Run instead, which returns at once, if the framework does not reuse anything that
// the connection's Serve uses when the handler returns. ServeMessages and RunMessages are
// the same for a [MessageController].
type Endpoint struct {
	options Options
	invalid error                    // of Options.Validate
	origins handshake.OriginPatterns // AllowedOrigins
	live    connSet
	buffers sync.Pool // gorilla's write buffers

	guard    func(call func() error) error // see Guard
	resolve  sync.Once
	resolved *connOptions // set by connOptions

	readBuffers sync.Pool
	config      atomic.Pointer[transport.Config] // of the latest transport; nil: none yet
}

// NewEndpoint returns an Endpoint with the given options. If they are not valid, it refuses
// every upgrade with 500: see [Options.Validate].
func NewEndpoint(options Options) *Endpoint {
	e := &Endpoint{options: options, invalid: options.Validate()}
	e.origins, _ = handshake.ParseOrigins(options.AllowedOrigins) // Validate reports the same error
	return e
}

// Guard sets a function f that calls the functions given to Conn.Go and Conn.BeforeClose,
// and those given to RunMessages with the handlers that they return. It is for adapters to
// frameworks with error types of their own: such an adapter converts the errors that Serve
// returns, and f converts the errors of these functions.
//
// f calls its argument once, and returns that error or another one in its place. For
// RunMessages, the argument handles many messages, and returns nil if the connection goes on
// later, on another goroutine: what f returns has no effect then. f may recover a panic and
// must then return a *PanicError; the Endpoint recovers a panic that f does not. f must not
// stop a runtime.Goexit. Call Guard before the first Accept. Nil, the default, means that the
// functions are called directly.
func (e *Endpoint) Guard(f func(call func() error) error) { e.guard = f }

// connOptions returns the settings of connections. The first call resolves them, because
// the zero Endpoint has no constructor.
func (e *Endpoint) connOptions() *connOptions {
	e.resolve.Do(func() {
		e.resolved = e.options.resolve()
		e.resolved.endpoint = e
		e.resolved.guard = e.guard
		e.resolved.alarms = newAlarms(alarmShards)
	})
	return e.resolved
}

// Connections returns the open connections, in no particular order: those that are upgraded, and
// whose Serve has not returned or whose socket is not closed. It includes connections that are being
// closed. It is a snapshot of one moment, as Stats().Open is: a connection may end at any time
// afterwards, and its methods then return errors. The caller owns the slice. The cost is one
// allocation of a pointer for each connection. Closing waits for the client: see [Conn.Close].
func (e *Endpoint) Connections() []*Conn { return e.live.accepted() }

// transportConfig returns the settings of a transport with the given buffer sizes. The last
// result is kept and returned again while the sizes stay the same: Settings are read at
// each request, but hardly ever change.
func (e *Endpoint) transportConfig(readBufferSize, writeBufferSize int) *transport.Config {
	if c := e.config.Load(); c != nil && c.ReadBufferSize == readBufferSize && c.WriteBufferSize == writeBufferSize {
		return c
	}
	c := e.connOptions().config(&e.readBuffers, readBufferSize, writeBufferSize)
	e.config.Store(c)
	return c
}

// Handshake holds what an adapter knows about one request. The zero value with a Refuse
// function is valid.
type Handshake struct {
	// Settings are the settings of gorilla. A setting that the Options have as well applies
	// only if the Options' is zero. Error and CheckOrigin are ignored. Nil means the zero
	// value.
	Settings *ws.Upgrader

	// Subprotocols are the subprotocols for this request, in order of preference; they
	// replace the subprotocols of the Options and the Settings. Nil leaves these in place.
	Subprotocols []string

	// Subprotocol is the subprotocol of the connection if the adapter has selected it,
	// whatever the client offers: a token (RFC 9110, 5.6.2). Empty means that the Endpoint
	// selects it.
	Subprotocol string

	// Header is added to the 101 response.
	Header http.Header

	// CheckOrigin reports whether the request's origin may connect. Nil means that the
	// Options decide: the origin's host must be the request's, or AllowedOrigins must
	// contain the origin, or InsecureSkipOriginCheck must be set.
	CheckOrigin func() bool

	// CheckUpgrade refuses a handshake by returning an error: see [UpgradeChecker]. It is
	// called after all other checks, before the connection counts toward MaxConnections.
	// Nil refuses no handshake.
	CheckUpgrade func() error

	// Refuse writes the HTTP response of a refused upgrade. The headers that the status
	// needs are set already. Tell a client that does not ask for an upgrade the reason
	// (ErrNotHandshake). Refuse is called at most once, before Accept returns.
	Refuse func(status int, reason error)
}

// Accept upgrades a request. It returns the connection once the 101 response is sent; the
// caller must then call Run, Serve, RunMessages or ServeMessages, once, or Shutdown waits
// for the connection until its context ends. If Accept returns an error, nothing is left to
// do: either h.Refuse has written the response, or the response could not be written and the
// hijacked connection is closed.
//
// Panics of the functions in h are passed on; they occur before anything is hijacked.
// Nothing of the handshake is retained.
func (e *Endpoint) Accept(w http.ResponseWriter, r *http.Request, h Handshake) (*Conn, error) {
	return e.upgrade(w, r, &h)
}

// upgrade is Accept. gorilla's handshake is deep in the stack of the HTTP server's goroutine. To
// keep that stack from growing, what needs much of it is done by functions that have returned
// before, and h is not copied.
func (e *Endpoint) upgrade(w http.ResponseWriter, r *http.Request, h *Handshake) (*Conn, error) {
	if !e.live.begin() {
		return nil, e.rejectUpgrade(w, r, h, unavailable(ErrShutdown))
	}
	var conn *Conn
	admitted, accepted := false, false
	defer func() {
		if !accepted { // also if a function in h panics
			e.live.abandon(conn, admitted)
		}
	}()
	h.Header = handshake.CanonicalHeader(h.Header)
	var agreed agreement
	refused := e.check(r, h, &agreed)
	if refused == nil {
		if admitted = e.live.admit(e.options.MaxConnections); !admitted {
			refused = unavailable(ErrTooManyConnections)
		}
	}
	if refused != nil {
		return nil, e.rejectUpgrade(w, r, h, refused)
	}
	nc, rw, err := hijack(w)
	if err != nil {
		e.live.release() // the response may take a while
		admitted = false
		return nil, e.rejectUpgrade(w, r, h, failed(err))
	}
	g := beginGorilla(nc, rw, e.writeBufferPool(h.Settings), &agreed)
	gorilla, err := g.upgrader.Upgrade(g, gorillaRequest, g.header)
	if conn, err = e.adopt(r, g, gorilla, err); err == nil {
		e.live.add(conn) // from now on, Shutdown may abort it
		err = conn.switchProtocols(rw.Writer.AvailableBuffer(), &agreed, h.Header)
	}
	if err != nil {
		return nil, e.switchFailed(r, err)
	}
	accepted = true
	if why := e.live.accept(conn); why != staying {
		conn.shutDown(why)
	}
	return conn, nil
}

// switchFailed logs why a connection was lost after it was hijacked. It returns that
// reason.
func (e *Endpoint) switchFailed(r *http.Request, err error) error {
	what, level := "writing the handshake's response", slog.LevelDebug // most likely the client hung up
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

// check finds out what the handshake agrees on, or why it is refused. It checks everything
// that can be known before the connection is hijacked, and asks the application last, when
// nothing else is wrong.
func (e *Endpoint) check(r *http.Request, h *Handshake, agreed *agreement) *refusal {
	settings := e.settings(h)
	agreed.config = e.transportConfig(settings.ReadBufferSize, settings.WriteBufferSize)
	agreed.timeout = settings.HandshakeTimeout
	if e.invalid != nil {
		return failed(e.invalid)
	}
	opening, status, reason := handshake.ReadRequest(r)
	if reason != nil {
		return &refusal{status: status, reason: reason}
	}
	ours := settings.Subprotocols
	if h.Subprotocol != "" {
		ours = []string{h.Subprotocol}
	}
	if err := handshake.CheckHeader(ours, h.Header); err != nil {
		return failed(err)
	}
	if err := e.checkOrigin(r, h.CheckOrigin); err != nil {
		return &refusal{status: http.StatusForbidden, reason: err}
	}
	offered := r.Header["Sec-Websocket-Protocol"]
	agreed.key = opening.Key
	agreed.subprotocol = strings.Clone(cmp.Or(h.Subprotocol, handshake.SelectSubprotocol(offered, ours, h.Header))) // the copy keeps h on the stack
	if e.options.RequireSubprotocol && !handshake.IsOffered(offered, agreed.subprotocol) {
		return &refusal{status: http.StatusBadRequest, reason: handshake.NoSubprotocolError(offered, ours, h.Header)}
	}
	if limits := e.options.deflateLimits(settings.EnableCompression); limits != nil {
		agreed.deflate, agreed.extensions = handshake.AcceptDeflate(opening.Extensions, *limits)
	}
	if h.CheckUpgrade != nil {
		if err := h.CheckUpgrade(); err != nil {
			return refusedByCheck(err)
		}
	}
	return nil
}

// settings returns the settings for a request, but for the WriteBufferPool: the adapter's take
// precedence over the Options, and those over gorilla's.
func (e *Endpoint) settings(h *Handshake) (s ws.Upgrader) {
	if given := h.Settings; given != nil {
		s.HandshakeTimeout, s.Subprotocols, s.EnableCompression = given.HandshakeTimeout, given.Subprotocols, given.EnableCompression
		s.ReadBufferSize, s.WriteBufferSize = given.ReadBufferSize, given.WriteBufferSize
	}
	e.options.override(&s)
	if h.Subprotocols != nil {
		s.Subprotocols = h.Subprotocols
	}
	return s
}

// writeBufferPool returns the pool of gorilla's write buffers. It is no part of what settings
// returns, because it outlives the request, and all of that would have to be on the heap then.
func (e *Endpoint) writeBufferPool(given *ws.Upgrader) ws.BufferPool {
	if given != nil && given.WriteBufferPool != nil {
		return given.WriteBufferPool
	}
	return &e.buffers
}

// checkOrigin returns an error unless pages of the request's origin may connect. If decide
// is not nil, it decides alone.
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
