package websocket

import (
	"net/http"

	"goyave.dev/goyave/v5"
)

// A Controller is a WebSocket endpoint of a Goyave application. It may also implement [Registrer],
// [OriginChecker], [UpgradeChecker], [SubprotocolLister], [HeaderUpgrader], [UpgradeErrorHandler]
// and [ErrorHandler].
type Controller interface {
	goyave.Composable

	// Serve handles one connection. It runs in a goroutine of its own, concurrently with the
	// calls for other connections. The request is a copy of the upgraded request, with
	// everything that middleware has added; its context lives as long as the connection.
	// Serve may change the copy: middleware that holds the original request, such as an
	// access log, does not see the changes.
	//
	// The handler and the middleware around it return when Serve starts, or have returned
	// already, so Serve must not use resources that middleware releases. With
	// Upgrader.ServeInHandler they return after Serve.
	//
	// The connection is closed when Serve returns. Nil closes it normally (1000). A *CloseError
	// from NewCloseError closes it with its code and text. Any other error, or a panic, closes
	// it as a failure (1011). Errors of the connection's own reads and writes may be returned,
	// wrapped or not.
	//
	// Goroutines that Serve starts must return before it does; for goroutines that were
	// started with Conn.Go, the connection waits.
	Serve(conn *Conn, request *goyave.Request) error
}

// A MessageController is a WebSocket endpoint whose connections are handled message by message,
// without a loop of its own: [NewMessages] takes it. It may implement the same interfaces as a
// [Controller].
type MessageController interface {
	goyave.Composable

	// Open is called once for each connection and returns what handles its messages: a value
	// that has what the connection needs, such as the conn. The request is a copy of the
	// upgraded request, as for Serve. The library does not retain it once Open has returned,
	// unless the controller is an ErrorHandler.
	//
	// Open runs in a goroutine of the connection, like Serve, and may write, start goroutines
	// with Conn.Go, and read: what it reads, OnMessage does not receive. An error ends the
	// connection and has the meaning of an error of Serve. No method of a handler is called
	// then. Neither a handler nor an error is a failure.
	//
	// Open is not called if the server stops before the connection is served.
	Open(conn *Conn, request *goyave.Request) (MessageHandler, error)
}

// A Registrer is a [Controller] that registers its route itself, with validation, middleware, meta
// or a name.
//
// If the controller does not implement it, the route is GET and the router's own path.
type Registrer interface {
	// RegisterRoute registers handler, which upgrades and serves, for GET.
	// Upgrader.RegisterRoutes calls it, and panics if the handler is registered for other
	// methods only, because a handshake could never reach it.
	RegisterRoute(router *goyave.Router, handler goyave.Handler)
}

// An OriginChecker is a [Controller] that decides which origins may connect.
//
// If the controller does not implement it, a request is accepted if it has no Origin header
// (because it does not come from a browser), or if the host of its origin is one of
//   - the host of the request
//   - the host of the config entry server.domain, with the default port or the server's port
//   - the address of the config entries server.proxy
//   - the patterns of Options.AllowedOrigins or the entry websocket.allowedOrigins
//
// Headers about a proxy, such as X-Forwarded-Host, are ignored, because clients can forge them.
type OriginChecker interface {
	// CheckOrigin reports whether the request's Origin header is acceptable. It replaces the
	// rules above, including options and configuration. A careless implementation is
	// dangerous: browsers send cookies with every WebSocket handshake, from any page. It runs
	// on the HTTP handler's goroutine.
	CheckOrigin(request *goyave.Request) bool
}

// An UpgradeChecker is a [Controller] that refuses upgrades for reasons of its own: a full room, or
// too many requests of a client.
//
// If the controller does not implement it, every valid handshake is upgraded.
type UpgradeChecker interface {
	// CheckUpgrade returns nil to accept the upgrade. A *RefusedError, wrapped or not, refuses
	// it with the status of the error. Any other error is a failure, like an error of Serve,
	// and refuses the upgrade with 500. The error is then handled like the reason of any other
	// refusal with this status: see UpgradeErrorHandler.
	//
	// It runs on the HTTP handler's goroutine, after all other checks of the handshake, the
	// origin included, and before the connection counts for MaxConnections. The upgrade may
	// still fail afterwards.
	CheckUpgrade(request *goyave.Request) error
}

// A SubprotocolLister is a [Controller] whose subprotocols depend on the request.
//
// If the controller does not implement it, Options.Subprotocols or Settings.Subprotocols apply.
type SubprotocolLister interface {
	// Subprotocols returns the subprotocols for one request, in order of preference, instead
	// of the Upgrader's; nil means the Upgrader's. The first one that the client offers is
	// selected. The upgrade fails with 500 if one is empty, is not a token (RFC 9110, 5.6.2),
	// or is a duplicate. It runs on the HTTP handler's goroutine, before the request is
	// checked.
	Subprotocols(request *goyave.Request) []string
}

// A HeaderUpgrader is a [Controller] that adds headers, such as Set-Cookie, to the 101 response.
type HeaderUpgrader interface {
	// UpgradeHeaders returns the headers to add. It runs on the HTTP handler's
	// goroutine, before the request is checked.
	UpgradeHeaders(request *goyave.Request) http.Header
}

// An UpgradeErrorHandler is a [Controller] that writes the responses to refused upgrades.
//
// If the controller does not implement it, the response is the JSON object {"error": "..."} with
// the status text; with Debug, or if the reason is ErrNotHandshake, with the reason.
//
// Status 500 is not a refusal but an error like any other in Goyave, with or without this
// interface: it is logged, and the status handler writes the response.
type UpgradeErrorHandler interface {
	// OnUpgradeError writes the HTTP response to an upgrade that was refused with the given
	// status. The status is 4xx for a mistake of the client (with ErrNotHandshake if the
	// request is no handshake: 426 if nothing else is wrong); 503 for a server that shuts down
	// or has too many connections (ErrShutdown, ErrTooManyConnections); or the status that
	// CheckUpgrade has chosen. It runs on the HTTP handler's goroutine; the connection is not
	// hijacked.
	OnUpgradeError(response *goyave.Response, request *goyave.Request, status int, reason error)
}

// An ErrorHandler is a [Controller] that handles the errors of connections.
//
// If the controller does not implement it, the server's logger logs them: failures of Serve as
// errors, protocol violations as warnings, and lost connections at debug level.
type ErrorHandler interface {
	// OnError is called when a connection has failed. The error is an error or a panic of
	// Serve, Open, OnMessage or a function given to Conn.Go, a protocol violation of the peer,
	// or the loss of the connection. An end by a close frame or by the server's shutdown is no failure.
	//
	// The error is a *errors.Error of Goyave, with a trace. For a panic, it has the panic's
	// value and trace, as in Goyave's own recovery. For a runtime.Goexit, it wraps a
	// *PanicError. Several failures are one error with several reasons, each with a trace of
	// its own.
	//
	// OnError runs on the goroutine of Serve or OnMessage, after Serve or OnClose has returned
	// and before the close frame is sent. It may still write: FromContext(request.Context()) returns the connection. A panic
	// of OnError is recovered and logged.
	OnError(request *goyave.Request, err error)
}
