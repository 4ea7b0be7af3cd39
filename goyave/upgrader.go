package websocket

import (
	"context"
	stderrors "errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"

	ws "github.com/gorilla/websocket"
	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave/internal/bearer"
	"goyave.dev/goyave/v5"
	goyaveslog "goyave.dev/goyave/v5/slog"
	"goyave.dev/goyave/v5/util/errors"
)

// An Upgrader makes a [Controller] an endpoint of a Goyave application. It is a
// Goyave controller itself: router.Controller mounts it. Set its fields before
// that.
type Upgrader struct {
	goyave.Component
	Options

	Controller Controller

	// Settings are gorilla's. Subprotocols, EnableCompression, ReadBufferSize,
	// WriteBufferSize and HandshakeTimeout count where the Options of the same name say
	// nothing. A WriteBufferPool is only for what is written through the embedded
	// connection. Error and CheckOrigin are ignored: see UpgradeErrorHandler and
	// OriginChecker.
	Settings ws.Upgrader

	// ServeInHandler has Serve called on the goroutine of the HTTP handler: the handler
	// returns when the connection has ended, and so does all the middleware around it; the
	// access log has its line then. Without it, Serve runs in a goroutine of its own and
	// the handler returns as soon as the client is told 101, so that nothing of the
	// request's handling stays in memory.
	//
	// Set it where what middleware holds must last as long as the connection: a span, a
	// transaction, a throttle. Serve has a copy of the request in any case, whose Data,
	// User and values of Extra are the request's own.
	ServeInHandler bool

	mounted *mounted
}

// Logger returns the server's logger. It is that of the Component, and no field of the
// Options: Options.Logger takes its place for the connections.
func (u *Upgrader) Logger() *goyaveslog.Logger { return u.Component.Logger() }

// mounted is what an Upgrader is on one server.
type mounted struct {
	upgrader *Upgrader
	server   *goyave.Server
	options  Options // with what the configuration says
	endpoint *root.Endpoint
	service  *service
}

var _ goyave.Registrer = (*Upgrader)(nil)

// New returns an Upgrader with the default options. It panics where the controller is
// nil.
func New(controller Controller) *Upgrader {
	u := &Upgrader{Controller: controller}
	u.mustServe()
	return u
}

// mustServe panics where nobody would serve the connections.
func (u *Upgrader) mustServe() {
	if v := reflect.ValueOf(u.Controller); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		panic(errors.New("websocket: the Upgrader's Controller is nil"))
	}
}

// RegisterRoutes mounts the controller on router: for GET at the router's own
// path, or as its own RegisterRoute says. Goyave's router.Controller calls it. It
// panics where options or entries of the configuration are not valid, and where
// RegisterRoute registered the handler for other methods than GET.
func (u *Upgrader) RegisterRoutes(router *goyave.Router) {
	handler := u.Handler()
	r, ok := u.Controller.(Registrer)
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

// Validate returns an error that says which of the Options or the Settings makes no sense,
// nil if all do. What the configuration says is looked at
// when the route is registered, which panics with such an error.
func (u *Upgrader) Validate() error { return validate(u.Options, u.Settings) }

func validate(options Options, settings ws.Upgrader) error {
	settings.CheckOrigin, settings.Error = nil, nil // ignored, as in the original
	u := root.Upgrader{Options: options, Settings: settings}
	return u.Validate()
}

// Handler returns the handler of the route, for those who register it
// themselves; Init must come first. It initializes the controller. It may be
// called again, for another route: Shutdown and Stats are of all.
//
// The handler upgrades the request, sets the response's status to 101, and
// returns when Serve runs, in a goroutine of its own, or with ServeInHandler when the
// connection has ended: so does all the middleware around it.
func (u *Upgrader) Handler() goyave.Handler {
	u.mustServe()
	server := u.Server()
	if server == nil {
		panic(errors.New("websocket: the Upgrader is not initialized: call Init before Handler"))
	}
	u.Controller.Init(server)
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

// Shutdown ends all connections of the Upgrader: new upgrades are refused with 503,
// every client is told 1001 or what its Serve chose, and nil is returned when every
// Serve has returned. When ctx ends first, the connections that are left are cut and an
// error says how many they were. The server's own shutdown does this for all
// Upgraders. Before the route is registered it does nothing.
func (u *Upgrader) Shutdown(ctx context.Context) error {
	if u.mounted == nil {
		return nil
	}
	return u.mounted.endpoint.Shutdown(ctx)
}

// Stats returns the numbers of this moment.
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
	if ctrl, ok := m.upgrader.Controller.(HeaderUpgrader); ok {
		h.Header = ctrl.UpgradeHeaders(request)
	}
	if ctrl, ok := m.upgrader.Controller.(SubprotocolLister); ok {
		h.Subprotocols = ctrl.Subprotocols(request)
	}
	if !m.options.RequireSubprotocol { // the marker is none
		h.Subprotocol = bearer.Selected(request, m.subprotocols(h.Subprotocols), h.Header)
	}
	if ctrl, ok := m.upgrader.Controller.(OriginChecker); ok {
		h.CheckOrigin = func() bool { return ctrl.CheckOrigin(request) }
	} else if isOwnOrigin(m.server, request.Request()) {
		h.CheckOrigin = func() bool { return true }
	}
	if ctrl, ok := m.upgrader.Controller.(UpgradeChecker); ok {
		h.CheckUpgrade = func() error { return ctrl.CheckUpgrade(request) }
	}
	ctx := context.WithValue(request.Context(), routeKey{}, request.Route) // for the log
	conn, err := m.endpoint.Accept(response, request.Request().WithContext(ctx), h)
	if response.Hijacked() { // even if the 101 could not be written: Goyave must not take it for a 204
		response.Status(http.StatusSwitchingProtocols)
	}
	if err != nil {
		return // it was answered
	}
	served := servedRequest(conn.Context(), request)
	var report func(error)
	if ctrl, ok := m.upgrader.Controller.(ErrorHandler); ok {
		report = func(err error) { ctrl.OnError(served, goyaveError(err)) }
	}
	if m.upgrader.ServeInHandler {
		m.endpoint.Serve(conn, m.serve(conn, served), report)
	} else {
		m.endpoint.Run(conn, m.serve(conn, served), report)
	}
}

// subprotocols returns the subprotocols for a request for which the controller lists some,
// or nil.
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
	if ctrl, ok := m.upgrader.Controller.(UpgradeErrorHandler); ok {
		ctrl.OnUpgradeError(response, request, status, reason)
		return
	}
	text := http.StatusText(status)
	if m.options.Debug || stderrors.Is(reason, root.ErrNotHandshake) {
		text = reason.Error()
	}
	response.JSON(status, map[string]string{"error": text})
}
