package websocket

import "net/http"

// A Controller is a WebSocket endpoint on net/http. The interfaces below are
// optional: an Upgrader looks for them on its controller.
type Controller interface {
	// Serve handles one connection, on a goroutine of its own; calls for
	// different connections overlap. The request is the upgraded one; its
	// context lives as long as the connection.
	//
	// The HTTP handler, and all that is around it, has returned by then, or does so at the
	// same time: what a router or middleware uses again, or gives back, is not Serve's to
	// use. With Upgrader.ServeInHandler it returns after Serve.
	//
	// The connection is closed when Serve returns: nil closes it normally
	// (1000), a *CloseError from NewCloseError with its code and text, any other
	// error, or a panic, as a failure (1011). Errors of the connection's own
	// reads and writes may be returned as they are or wrapped.
	//
	// Goroutines that Serve starts must have returned before it does; those
	// started with Conn.Go are waited for.
	Serve(conn *Conn, request *http.Request) error
}

// ControllerFunc makes a function a [Controller].
type ControllerFunc func(conn *Conn, request *http.Request) error

// Serve calls f.
func (f ControllerFunc) Serve(conn *Conn, request *http.Request) error { return f(conn, request) }

// Registrer allows a [Controller] to register its route itself, with middleware
// around the handler or under a pattern of its own.
//
// If not implemented, the route is GET and the pattern given to
// [Upgrader.RegisterRoutes].
type Registrer interface {
	// RegisterRoute registers handler, which upgrades and serves, on mux. It is
	// called once, by Upgrader.RegisterRoutes, with the pattern given there.
	RegisterRoute(mux *http.ServeMux, pattern string, handler http.Handler)
}

// OriginChecker allows a [Controller] to decide which origins may connect.
//
// If not implemented, a request is accepted if it has no Origin header (it
// comes from no browser), if its origin's host is the request's, or if
// Options.AllowedOrigins have it.
type OriginChecker interface {
	// CheckOrigin reports whether the request's Origin header is acceptable. It
	// decides alone, whatever the options say. It must be careful: browsers send
	// cookies with every WebSocket handshake, whatever page starts it. It runs on
	// the HTTP handler's goroutine.
	CheckOrigin(request *http.Request) bool
}

// UpgradeChecker allows a [Controller] to refuse upgrades for reasons of its own:
// a room that is full, a client that comes too often.
//
// If not implemented, every valid handshake is upgraded.
type UpgradeChecker interface {
	// CheckUpgrade returns nil to let the upgrade pass. A *RefusedError, wrapped or not,
	// refuses it with the status that it has. Any other error is a failure, as it would
	// be one of Serve's, and refused with 500. What is returned is handled like the reason
	// of every other refusal with this status: see UpgradeErrorHandler.
	//
	// It runs on the HTTP handler's goroutine, once nothing else is wrong with the
	// handshake, its origin included, and before the connection counts for
	// MaxConnections. The connection may still fail to come about.
	CheckUpgrade(request *http.Request) error
}

// SubprotocolLister allows a [Controller] to speak other subprotocols with one
// client than with another.
//
// If not implemented, they are those of Options.Subprotocols.
type SubprotocolLister interface {
	// Subprotocols returns the subprotocols for one request, the preferred one
	// first, in place of Options.Subprotocols; nil stands for those. The first
	// that the client offers is selected. The upgrade is refused with 500 where one is
	// empty, no token (RFC 9110, 5.6.2), or there twice. It runs on the HTTP handler's
	// goroutine, before the request is checked.
	Subprotocols(request *http.Request) []string
}

// HeaderUpgrader allows a [Controller] to add headers to the 101 response, such
// as Set-Cookie.
type HeaderUpgrader interface {
	// UpgradeHeaders returns the headers to add. It runs on the HTTP handler's
	// goroutine, before the request is checked.
	UpgradeHeaders(request *http.Request) http.Header
}

// UpgradeErrorHandler allows a [Controller] to answer refused upgrades.
//
// If not implemented, the answer is the JSON object {"error": "..."} with the
// status text; with Debug, or where the reason is ErrNotHandshake, with the reason. The
// reason of a refusal with status 500 is logged as an error.
type UpgradeErrorHandler interface {
	// OnUpgradeError writes the HTTP response of an upgrade that was refused with
	// the given status: 4xx for the client's mistake (ErrNotHandshake where the request
	// asks for no upgrade, with 426 if nothing else is wrong); 500 for a writer that
	// can't be hijacked or options that are not valid; 503 for a server that shuts down
	// or has too many connections (ErrShutdown, ErrTooManyConnections); or what
	// CheckUpgrade returned. It runs on the HTTP handler's goroutine; the connection is
	// not hijacked.
	OnUpgradeError(w http.ResponseWriter, request *http.Request, status int, reason error)
}

// ErrorHandler allows a [Controller] to be told of errors.
//
// If not implemented, they are logged: failures of Serve as errors, breaches
// of the protocol as warnings, vanished peers at debug level.
type ErrorHandler interface {
	// OnError is told how a connection failed: the error that Serve or a function
	// given to Conn.Go returned, its panic as a *PanicError, or what the peer did.
	// Endings by a close frame or by Shutdown are no errors.
	//
	// It runs on Serve's goroutine once Serve has returned and before the close
	// frame is sent, so it may still write: FromContext(request.Context()) is the
	// connection. A panic in it is recovered and logged.
	OnError(request *http.Request, err error)
}
