package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
)

// An Upgrader serves a [Controller] or a [MessageController] on net/http. It is an
// http.Handler; RegisterRoutes registers it on a mux. Set its fields before the first request
// and before RegisterRoutes. All methods but RegisterRoutes may be called from any goroutine.
//
// A response writer that middleware has wrapped must have an Unwrap method, for
// http.ResponseController, or be an http.Hijacker.
type Upgrader struct {
	Options

	// Controller serves the connections. It must not be nil, unless MessageController is
	// set.
	Controller Controller

	// MessageController handles the connections in place of a Controller, message by
	// message. Only one of the two may be set.
	MessageController MessageController

	// Settings are the settings of gorilla, for code that already has them. Subprotocols,
	// EnableCompression, ReadBufferSize, WriteBufferSize and HandshakeTimeout apply if the
	// field of the same name in Options is zero. WriteBufferPool serves only writes through
	// the embedded connection. Error and CheckOrigin must be nil: implement
	// UpgradeErrorHandler and OriginChecker instead. Unlike the Options, Settings are read
	// at each request.
	Settings ws.Upgrader

	// ServeInHandler runs Serve, or Open and the MessageHandler, on the goroutine of the HTTP
	// handler: ServeHTTP returns when the connection has ended. Without it, Serve runs on its
	// own goroutine and ServeHTTP returns as soon as the 101 response is sent, so that nothing
	// of the request's handling stays in memory.
	//
	// Set it if the surroundings of the handler must last as long as the connection: below
	// a router that reuses its state of a request for the next one as soon as the handler
	// returns (chi's URLParam, the contexts of gin and echo), because Serve would read the
	// values of another request; and below middleware that throttles, traces or holds a
	// transaction. [Endpoint.Serve] describes its cost.
	ServeInHandler bool

	once     sync.Once
	endpoint *Endpoint
}

var _ http.Handler = (*Upgrader)(nil)

// New returns an Upgrader with the default options. It panics if the controller is nil.
func New(controller Controller) *Upgrader {
	u := &Upgrader{Controller: controller}
	u.mustServe()
	return u
}

// NewMessages is New for a controller that handles messages one by one. It panics if the
// controller is nil.
func NewMessages(controller MessageController) *Upgrader {
	u := &Upgrader{MessageController: controller}
	u.mustServe()
	return u
}

// mustServe panics unless there is one controller to serve the connections.
func (u *Upgrader) mustServe() {
	serve, isServe := u.Controller.(ControllerFunc)
	open, isOpen := u.MessageController.(MessageControllerFunc)
	switch {
	case u.Controller != nil && u.MessageController != nil:
		panic("websocket: the Upgrader has a Controller and a MessageController")
	case u.Controller == nil && u.MessageController == nil, isServe && serve == nil, isOpen && open == nil:
		panic("websocket: the Upgrader's Controller is nil")
	}
}

// controller returns the Controller or the MessageController, for its optional interfaces.
func (u *Upgrader) controller() any {
	if u.MessageController != nil {
		return u.MessageController
	}
	return u.Controller
}

// Validate returns an error that names an invalid value in the Options or the Settings, or
// nil if all are valid. RegisterRoutes panics with that error; an Upgrader that is mounted
// in another way refuses every upgrade with 500 and that reason.
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

// RegisterRoutes registers the Upgrader on mux for GET requests that match the pattern. If
// the controller is a Registrer, its RegisterRoute does it instead. The pattern must not
// have a method. RegisterRoutes panics if it has one, if ServeMux does not accept the
// pattern, or if the options are not valid.
func (u *Upgrader) RegisterRoutes(mux *http.ServeMux, pattern string) {
	u.mustServe()
	if err := u.Validate(); err != nil {
		panic(err)
	}
	if strings.ContainsAny(pattern, " \t") {
		panic("websocket: pattern " + pattern + " has a method: the route is always GET")
	}
	if r, ok := u.controller().(Registrer); ok {
		r.RegisterRoute(mux, pattern, u)
		return
	}
	mux.Handle("GET "+pattern, u)
}

// ServeHTTP upgrades the request and has the controller serve the connection. It returns
// once the connection has its own goroutine or, with ServeInHandler, has ended.
func (u *Upgrader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mustServe()
	h := Handshake{
		Settings: &u.Settings,
		Refuse:   func(status int, reason error) { u.writeRefusal(w, r, status, reason) },
	}
	u.ask(r, &h)
	conn, err := u.lazyEndpoint().upgrade(w, r, &h)
	if err != nil {
		return // the response has been written
	}
	u.serve(conn, r.WithContext(conn.Context()))
}

// ask sets what the optional methods of the controller say about a request. It is no part of
// ServeHTTP, whose stack must stay small: see Endpoint.upgrade.
//
//go:noinline
func (u *Upgrader) ask(r *http.Request, h *Handshake) {
	if ctrl, ok := u.controller().(SubprotocolLister); ok {
		h.Subprotocols = ctrl.Subprotocols(r)
	}
	if ctrl, ok := u.controller().(HeaderUpgrader); ok {
		h.Header = ctrl.UpgradeHeaders(r)
	}
	if ctrl, ok := u.controller().(OriginChecker); ok {
		h.CheckOrigin = func() bool { return ctrl.CheckOrigin(r) }
	}
	if ctrl, ok := u.controller().(UpgradeChecker); ok {
		h.CheckUpgrade = func() error { return ctrl.CheckUpgrade(r) }
	}
}

// serve has the controller serve a connection.
func (u *Upgrader) serve(conn *Conn, request *http.Request) {
	e := u.lazyEndpoint()
	var report func(error)
	if ctrl, ok := u.controller().(ErrorHandler); ok {
		report = func(err error) { ctrl.OnError(request, err) }
	}
	if ctrl := u.MessageController; ctrl != nil {
		open := func() (MessageHandler, error) { return ctrl.Open(conn, request) }
		if u.ServeInHandler {
			e.ServeMessages(conn, open, report)
		} else {
			e.RunMessages(conn, open, report)
		}
		return
	}
	s := newServing(conn, u.Controller, request, report)
	if u.ServeInHandler {
		s.serve()
	} else {
		go s.serve()
	}
}

// Shutdown ends all connections of the Upgrader: see [Endpoint.Shutdown].
// http.Server.Shutdown does not know of them: call both.
func (u *Upgrader) Shutdown(ctx context.Context) error { return u.lazyEndpoint().Shutdown(ctx) }

// Drain ends all connections of the Upgrader, spread over a time: see [Endpoint.Drain]. Call
// http.Server.Shutdown as well, afterwards.
func (u *Upgrader) Drain(ctx context.Context, over time.Duration) error {
	return u.lazyEndpoint().Drain(ctx, over)
}

// Connections returns the open connections of the Upgrader: see [Endpoint.Connections].
func (u *Upgrader) Connections() []*Conn { return u.lazyEndpoint().Connections() }

// Stats returns the current numbers: see [Endpoint.Stats].
func (u *Upgrader) Stats() Stats { return u.lazyEndpoint().Stats() }

func (u *Upgrader) lazyEndpoint() *Endpoint {
	u.once.Do(func() {
		u.endpoint = NewEndpoint(u.Options)
		u.endpoint.invalid = u.Validate()
	})
	return u.endpoint
}

func (u *Upgrader) writeRefusal(w http.ResponseWriter, r *http.Request, status int, reason error) {
	if ctrl, ok := u.controller().(UpgradeErrorHandler); ok {
		ctrl.OnUpgradeError(w, r, status, reason)
		return
	}
	if status == http.StatusInternalServerError { // for the operator, not for the client
		u.lazyEndpoint().options.log(r.Context(), slog.LevelError, logRefused, reason, slog.String("remote", r.RemoteAddr), slog.Int("status", status))
	}
	text := http.StatusText(status)
	if u.lazyEndpoint().options.Debug || errors.Is(reason, ErrNotHandshake) {
		text = reason.Error()
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // an error means that the client hung up
}
