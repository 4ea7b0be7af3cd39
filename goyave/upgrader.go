package websocket

import (
	"context"
	stderrors "errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"time"

	ws "github.com/gorilla/websocket"
	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave/internal/bearer"
	"goyave.dev/goyave/v5"
	goyaveslog "goyave.dev/goyave/v5/slog"
	"goyave.dev/goyave/v5/util/errors"
)

// An Upgrader makes a [Controller] or a [MessageController] an endpoint of a Goyave application. It
// is a Goyave controller itself: mount it with router.Controller, and set its fields before that.
// The methods Shutdown, Drain, Connections and Stats may be called from any goroutine once the route is registered.
type Upgrader struct {
	goyave.Component
	Options

	// Controller serves the connections. It must not be nil, unless MessageController is set.
	Controller Controller

	// MessageController handles the connections message by message, in place of a Controller.
	// Only one of the two may be set.
	MessageController MessageController

	// Settings are the settings of gorilla/websocket. Subprotocols, EnableCompression,
	// ReadBufferSize, WriteBufferSize and HandshakeTimeout apply if the Options of the same
	// name are not set. WriteBufferPool applies only to writes of the embedded connection.
	// Error and CheckOrigin are ignored: see UpgradeErrorHandler and OriginChecker.
	Settings ws.Upgrader

	// ServeInHandler makes the Upgrader call Serve, or Open and the MessageHandler, on the HTTP
	// handler's goroutine. The handler and all middleware around it then return when the
	// connection has ended, which is also when the access log writes its line. By default, Serve runs in a goroutine of its own
	// and the handler returns right after the 101 response, so that the memory of the request's
	// handling is released.
	//
	// Set it if a resource of middleware must last as long as the connection: a span, a
	// transaction, a throttle. In both cases Serve gets a copy of the request, which shares
	// Data, User and the values of Extra with the original.
	ServeInHandler bool

	mounted *mounted
}

// Logger returns the server's logger, as for every Component. It is not Options.Logger, which
// replaces the server's logger for the connections.
func (u *Upgrader) Logger() *goyaveslog.Logger { return u.Component.Logger() }

// mounted is the state of an Upgrader on one server.
type mounted struct {
	upgrader *Upgrader
	server   *goyave.Server
	options  Options // merged with the configuration
	endpoint *root.Endpoint
	service  *service
}

var _ goyave.Registrer = (*Upgrader)(nil)

// New returns an Upgrader with the default options. It panics if the controller is nil.
func New(controller Controller) *Upgrader {
	u := &Upgrader{Controller: controller}
	u.mustServe()
	return u
}

// NewMessages is New for a controller that handles messages one by one. It panics if the controller
// is nil.
func NewMessages(controller MessageController) *Upgrader {
	u := &Upgrader{MessageController: controller}
	u.mustServe()
	return u
}

// mustServe panics unless there is exactly one controller, which is not nil.
func (u *Upgrader) mustServe() {
	if u.Controller != nil && u.MessageController != nil {
		panic(errors.New("websocket: the Upgrader has a Controller and a MessageController"))
	}
	if v := reflect.ValueOf(u.controller()); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		panic(errors.New("websocket: the Upgrader's Controller is nil"))
	}
}

// controller returns the Controller or the MessageController, for its optional interfaces.
func (u *Upgrader) controller() goyave.Composable {
	if u.MessageController != nil {
		return u.MessageController
	}
	return u.Controller
}

// RegisterRoutes mounts the controller on router: for GET at the router's own path, or with the
// controller's RegisterRoute. Goyave's router.Controller calls it. It panics if options or entries
// of the configuration are not valid, and if RegisterRoute has registered the handler for other
// methods than GET only.
func (u *Upgrader) RegisterRoutes(router *goyave.Router) {
	handler := u.Handler()
	r, ok := u.controller().(Registrer)
	if !ok {
		router.Get("", handler)
		return
	}
	before := routes(router)
	r.RegisterRoute(router, handler)
	mustGet(handler, slices.DeleteFunc(routes(router), func(route *goyave.Route) bool {
		return slices.Contains(before, route)
	}))
}

// Validate returns an error that names the invalid Options or Settings, nil if all are valid. It
// does not check the configuration: registering the route does, and panics with such an error.
func (u *Upgrader) Validate() error { return validate(u.Options, u.Settings) }

func validate(options Options, settings ws.Upgrader) error {
	settings.CheckOrigin, settings.Error = nil, nil // ignored, as in the original
	u := root.Upgrader{Options: options, Settings: settings}
	return u.Validate()
}

// Handler returns the handler of the route, for applications that register it themselves. Call Init
// first; Handler initializes the controller, and panics like RegisterRoutes. It may be called
// again for another route; Shutdown and Stats then cover all routes.
//
// The handler upgrades the request, sets the response's status to 101, and returns when Serve runs
// in a goroutine of its own or, with ServeInHandler, when the connection has ended. The middleware
// around it returns at the same time.
func (u *Upgrader) Handler() goyave.Handler {
	u.mustServe()
	server := u.Server()
	if server == nil {
		panic(errors.New("websocket: the Upgrader is not initialized: call Init before Handler"))
	}
	u.controller().Init(server)
	if u.mounted == nil || u.mounted.server != server {
		u.mounted = u.mount(server)
	}
	return u.mounted.handle
}

func (u *Upgrader) mount(server *goyave.Server) *mounted {
	m := &mounted{upgrader: u, server: server, options: configured(u.Options, server.Config())}
	if err := validate(m.options, u.Settings); err != nil {
		panic(errors.New(err))
	}
	if m.options.Logger == nil {
		m.options.Logger = slog.New(logHandler{server: server})
	}
	m.service = serviceOf(server)
	m.endpoint = root.NewEndpoint(m.options)
	m.endpoint.Guard(m.guard)
	m.service.add(m.endpoint)
	return m
}

// Shutdown ends all connections of the Upgrader for good. New upgrades are refused with 503, and
// every client gets a close frame with 1001 or the code that its Serve chose. Shutdown returns nil
// when every Serve has returned. If ctx ends first, it aborts the remaining connections and returns
// an error with their number. It may be called several times. The server's own shutdown does this
// for all Upgraders. Before the route is registered, Shutdown does nothing.
func (u *Upgrader) Shutdown(ctx context.Context) error {
	if u.mounted == nil {
		return nil
	}
	return u.mounted.endpoint.Shutdown(ctx)
}

// Drain is Shutdown, but ends the connections one after the other, in random order and spread over a
// time, with code 1012 by default (Options.DrainClose), so that not all clients reconnect at once.
// Each connection goes on until its turn. If ctx has a deadline, over is shortened so that the close
// timeout and 3 seconds are left before it, but at most to half of the time until the deadline. If
// ctx ends first, Drain aborts the remaining connections and returns an error with their number.
// Before the route is registered, Drain does nothing. For the server's own shutdown, set
// websocket.drainTime.
func (u *Upgrader) Drain(ctx context.Context, over time.Duration) error {
	if u.mounted == nil {
		return nil
	}
	return u.mounted.endpoint.Drain(ctx, over)
}

// Connections returns the open connections, in no particular order, as they are at the moment; any
// of them may end afterwards. There are none before the route is registered. The caller owns the
// slice.
func (u *Upgrader) Connections() []*Conn {
	if u.mounted == nil {
		return nil
	}
	return u.mounted.endpoint.Connections()
}

// Stats returns the current counters; they are zero before the route is registered.
func (u *Upgrader) Stats() Stats {
	if u.mounted == nil {
		return Stats{}
	}
	return u.mounted.endpoint.Stats()
}

func (m *mounted) handle(response *goyave.Response, request *goyave.Request) {
	m.service.watch(request.Context())
	h := root.Handshake{
		Settings: &m.upgrader.Settings,
		Refuse:   func(status int, reason error) { m.writeRefusal(response, request, status, reason) },
	}
	if ctrl, ok := m.upgrader.controller().(HeaderUpgrader); ok {
		h.Header = ctrl.UpgradeHeaders(request)
	}
	if ctrl, ok := m.upgrader.controller().(SubprotocolLister); ok {
		h.Subprotocols = ctrl.Subprotocols(request)
	}
	if !m.options.RequireSubprotocol { // the marker is no subprotocol
		h.Subprotocol = bearer.Selected(request, m.subprotocols(h.Subprotocols), h.Header)
	}
	if ctrl, ok := m.upgrader.controller().(OriginChecker); ok {
		h.CheckOrigin = func() bool { return ctrl.CheckOrigin(request) }
	} else if isOwnOrigin(m.server, request.Request()) {
		h.CheckOrigin = func() bool { return true }
	}
	if ctrl, ok := m.upgrader.controller().(UpgradeChecker); ok {
		h.CheckUpgrade = func() error { return ctrl.CheckUpgrade(request) }
	}
	ctx := context.WithValue(request.Context(), routeKey{}, request.Route) // for the log
	conn, err := m.endpoint.Accept(response, request.Request().WithContext(ctx), h)
	if response.Hijacked() { // even if writing the 101 failed: Goyave would take it for a 204 otherwise
		response.Status(http.StatusSwitchingProtocols)
	}
	if err != nil {
		return // Accept has written the response
	}
	m.serve(conn, servedRequest(conn.Context(), request))
}

// serve has the controller serve a connection.
func (m *mounted) serve(conn *Conn, request *goyave.Request) {
	var report func(error)
	if ctrl, ok := m.upgrader.controller().(ErrorHandler); ok {
		report = func(err error) { ctrl.OnError(request, goyaveError(err)) }
	}
	inHandler := m.upgrader.ServeInHandler
	if ctrl := m.upgrader.MessageController; ctrl != nil {
		open := func() (MessageHandler, error) { return ctrl.Open(conn, request) }
		if inHandler {
			m.endpoint.ServeMessages(conn, open, report)
		} else {
			m.endpoint.RunMessages(conn, open, report)
		}
		return
	}
	if inHandler {
		m.endpoint.Serve(conn, m.serveFunc(conn, request), report)
	} else {
		m.endpoint.Run(conn, m.serveFunc(conn, request), report)
	}
}

// subprotocols returns the subprotocols for a request. listed are the controller's, or nil.
func (m *mounted) subprotocols(listed []string) []string {
	switch {
	case listed != nil:
		return listed
	case m.options.Subprotocols != nil:
		return m.options.Subprotocols
	default:
		return m.upgrader.Settings.Subprotocols
	}
}

func (m *mounted) writeRefusal(response *goyave.Response, request *goyave.Request, status int, reason error) {
	if status == http.StatusInternalServerError {
		panic(errors.New(reason)) // Goyave's recovery logs it and its status handler answers
	}
	if ctrl, ok := m.upgrader.controller().(UpgradeErrorHandler); ok {
		ctrl.OnUpgradeError(response, request, status, reason)
		return
	}
	text := http.StatusText(status)
	if m.options.Debug || stderrors.Is(reason, root.ErrNotHandshake) {
		text = reason.Error()
	}
	response.JSON(status, map[string]string{"error": text})
}
