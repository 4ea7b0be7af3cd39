package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
)

// An Upgrader makes a [Controller] an endpoint of net/http. It is an
// http.Handler; RegisterRoutes mounts it. Set its fields before that.
//
// A response writer that middleware wrapped must have an Unwrap method, as
// http.ResponseController asks for, or be a http.Hijacker.
type Upgrader struct {
	Options

	Controller Controller

	// Settings are gorilla's, for code that has them. Subprotocols, EnableCompression,
	// ReadBufferSize, WriteBufferSize and HandshakeTimeout count where the Options of the
	// same name say nothing. A WriteBufferPool is only for what is written through the
	// embedded connection. Error and CheckOrigin must be nil: see UpgradeErrorHandler and
	// OriginChecker.
	Settings ws.Upgrader

	// ServeInHandler has Serve called on the goroutine of the HTTP handler: ServeHTTP
	// returns when the connection has ended. Without it, Serve runs in a goroutine of its
	// own and ServeHTTP returns as soon as the client is told 101, so that nothing of the
	// request's handling stays in memory.
	//
	// Set it where what is around the handler must last as long as the connection: below
	// a router that uses what it keeps of a request for the next one when the handler
	// returns (chi's URLParam, contexts of gin and echo: Serve would read what belongs to
	// somebody else), and where middleware throttles, traces or has a transaction. See
	// [Endpoint.Serve] for what it costs.
	ServeInHandler bool

	once     sync.Once
	endpoint *Endpoint
}

var _ http.Handler = (*Upgrader)(nil)

// New returns an Upgrader with the default options. It panics where the controller is
// nil.
func New(controller Controller) *Upgrader {
	u := &Upgrader{Controller: controller}
	u.mustServe()
	return u
}

// mustServe panics where nobody would serve the connections.
func (u *Upgrader) mustServe() {
	if f, ok := u.Controller.(ControllerFunc); u.Controller == nil || ok && f == nil {
		panic("websocket: the Upgrader's Controller is nil")
	}
}

// Validate returns an error that says which of the Options or the Settings makes no sense,
// nil if all do. RegisterRoutes panics with it, and without that every upgrade is refused
// with 500 and this reason.
func (u *Upgrader) Validate() error {
	if err := u.Options.Validate(); err != nil {
		return err
	}
	switch {
	case u.Settings.CheckOrigin != nil:
		return errors.New("websocket: Settings.CheckOrigin would not be called: the controller's CheckOrigin is (OriginChecker)")
	case u.Settings.Error != nil:
		return errors.New("websocket: Settings.Error would not be called: the controller's OnUpgradeError is (UpgradeErrorHandler)")
	}
	return handshake.CheckSubprotocols(u.Settings.Subprotocols)
}

// RegisterRoutes mounts the controller on mux: for GET requests that match the
// pattern, or as its own RegisterRoute says. The pattern has no method; one that
// has, or that is no pattern of ServeMux, panics, and so do options that are not
// valid.
func (u *Upgrader) RegisterRoutes(mux *http.ServeMux, pattern string) {
	u.mustServe()
	if err := u.Validate(); err != nil {
		panic(err)
	}
	if strings.ContainsAny(pattern, " \t") {
		panic("websocket: pattern " + pattern + " has a method: the route is always GET")
	}
	if r, ok := u.Controller.(Registrer); ok {
		r.RegisterRoute(mux, pattern, u)
		return
	}
	mux.Handle("GET "+pattern, u)
}

// ServeHTTP upgrades the request and returns when Serve runs, in a goroutine of
// its own, or with ServeInHandler when the connection has ended.
func (u *Upgrader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mustServe()
	h := Handshake{
		Settings: &u.Settings,
		Refuse:   func(status int, reason error) { u.writeRefusal(w, r, status, reason) },
	}
	if ctrl, ok := u.Controller.(SubprotocolLister); ok {
		h.Subprotocols = ctrl.Subprotocols(r)
	}
	if ctrl, ok := u.Controller.(HeaderUpgrader); ok {
		h.Header = ctrl.UpgradeHeaders(r)
	}
	if ctrl, ok := u.Controller.(OriginChecker); ok {
		h.CheckOrigin = func() bool { return ctrl.CheckOrigin(r) }
	}
	if ctrl, ok := u.Controller.(UpgradeChecker); ok {
		h.CheckUpgrade = func() error { return ctrl.CheckUpgrade(r) }
	}
	conn, err := u.lazyEndpoint().Accept(w, r, h)
	if err != nil {
		return // it was answered
	}
	request := r.WithContext(conn.Context())
	var report func(error)
	if ctrl, ok := u.Controller.(ErrorHandler); ok {
		report = func(err error) { ctrl.OnError(request, err) }
	}
	serve := func() error { return u.Controller.Serve(conn, request) }
	if u.ServeInHandler {
		u.lazyEndpoint().Serve(conn, serve, report)
	} else {
		u.lazyEndpoint().Run(conn, serve, report)
	}
}

// Shutdown ends all connections of the Upgrader: see [Endpoint.Shutdown].
// http.Server.Shutdown knows nothing of them: call both.
func (u *Upgrader) Shutdown(ctx context.Context) error { return u.lazyEndpoint().Shutdown(ctx) }

// Stats returns the numbers of this moment.
func (u *Upgrader) Stats() Stats { return u.lazyEndpoint().Stats() }

func (u *Upgrader) lazyEndpoint() *Endpoint {
	u.once.Do(func() {
		u.endpoint = NewEndpoint(u.Options)
		u.endpoint.invalid = u.Validate()
	})
	return u.endpoint
}

func (u *Upgrader) writeRefusal(w http.ResponseWriter, r *http.Request, status int, reason error) {
	if ctrl, ok := u.Controller.(UpgradeErrorHandler); ok {
		ctrl.OnUpgradeError(w, r, status, reason)
		return
	}
	if status == http.StatusInternalServerError { // the operator's to know, and not the client's
		u.lazyEndpoint().options.log(r.Context(), slog.LevelError, logRefused, reason, slog.String("remote", r.RemoteAddr), slog.Int("status", status))
	}
	text := http.StatusText(status)
	if u.lazyEndpoint().options.Debug || errors.Is(reason, ErrNotHandshake) {
		text = reason.Error()
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the client hung up
}
