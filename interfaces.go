package websocket

import "net/http"

// A Controller serves the WebSocket connections of an [Upgrader] on net/http. The
// interfaces from [Registrer] on are optional: the Upgrader uses those that its controller
// implements, whether it is a Controller or a [MessageController].
type Controller interface {
	// Serve handles one connection. It runs on a goroutine of its own, so calls for
	// different connections overlap. The request is the upgraded one; its context lives as
	// long as the connection.
	//
	// The HTTP handler, and the router and the middleware around it, have returned by then
	// or return at the same time: Serve must not use anything that they reuse or release.
	// With Upgrader.ServeInHandler, the handler returns after Serve.
	//
	// The connection is closed when Serve returns: with 1000 (normal closure) after nil,
	// with the code and text of a *CloseError from NewCloseError, and with 1011 (internal
	// error) after any other error or a panic. Serve may return errors of the connection's
	// own reads and writes, as they are or wrapped.
	//
	// Goroutines that Serve starts must have returned before Serve does. The connection
	// waits for those started with Conn.Go.
	Serve(conn *Conn, request *http.Request) error
}

// ControllerFunc adapts a function to a [Controller].
type ControllerFunc func(conn *Conn, request *http.Request) error

// Serve calls f.
func (f ControllerFunc) Serve(conn *Conn, request *http.Request) error { return f(conn, request) }

// A MessageController handles the connections of an [Upgrader] message by message, without
// a loop of its own: [NewMessages] takes it. A connection is served as by a [Controller]
// with this Serve, without anything that is kept from the request:
//
//	handler, err := ctrl.Open(conn, request)
//	if err != nil {
//		return err
//	}
//	for {
//		messageType, message, err := conn.ReadSlice()
//		if err == nil {
//			err = handler.OnMessage(messageType, message)
//		}
//		if err != nil {
//			handler.OnClose(err) // if it is a CloseHandler; also after a panic
//			return err
//		}
//	}
type MessageController interface {
	// Open is called once for each connection and returns what handles its messages: a
	// value that has what the connection needs, such as the conn. The request is the
	// upgraded one. The library does not retain it once Open has returned, unless the
	// controller is an ErrorHandler; its context lives as long as the connection.
	//
	// Open runs on a goroutine of the connection, like Serve, and may write, start
	// goroutines with Conn.Go, and read: what it reads, OnMessage does not receive. An error
	// ends the connection and has the meaning of an error of Serve: NewCloseError chooses
	// the close frame. No method of a handler is called then. Neither a handler nor an error
	// is a failure.
	//
	// If the connection ends before it is served, because the Upgrader shuts down, Open is
	// not called.
	Open(conn *Conn, request *http.Request) (MessageHandler, error)
}

// MessageControllerFunc adapts a function to a [MessageController].
type MessageControllerFunc func(conn *Conn, request *http.Request) (MessageHandler, error)

// Open calls f.
func (f MessageControllerFunc) Open(conn *Conn, request *http.Request) (MessageHandler, error) {
	return f(conn, request)
}

// A MessageHandler handles the messages of one connection. It may be a [CloseHandler], too.
type MessageHandler interface {
	// OnMessage handles one message, of type TextMessage or BinaryMessage. It is called with
	// one message after the other, as they were sent, and never twice at the same time, but
	// not always on the same goroutine. Pings, pongs and the peer's close frame are not
	// handled while it runs.
	//
	// The message is only valid until OnMessage returns, or reads from the connection. After
	// that, its memory is used for other messages, also of other connections: copy what is
	// needed for longer. OnMessage may write to it. Under the race detector, the memory is
	// overwritten when the message becomes invalid.
	//
	// An error ends the connection and has the meaning of an error of Serve: NewCloseError
	// chooses the close frame, also a normal one. A panic is a failure (1011), and so is any
	// other error that the connection itself has not returned. Only the goroutine that calls
	// OnMessage may read from the connection.
	OnMessage(messageType int, message []byte) error
}

// MessageHandlerFunc adapts a function to a [MessageHandler].
type MessageHandlerFunc func(messageType int, message []byte) error

// OnMessage calls f.
func (f MessageHandlerFunc) OnMessage(messageType int, message []byte) error {
	return f(messageType, message)
}

// CloseHandler lets a [MessageHandler] learn that its connection ends, as a deferred function
// lets Serve.
type CloseHandler interface {
	// OnClose is called once for each handler that Open returned, after the last call of
	// OnMessage and on the same goroutine, however the connection ends. The error is never
	// nil: it is what the read or OnMessage returned, or a panic or runtime.Goexit of
	// OnMessage as a *PanicError. [CloseStatus], [IsDisconnect] and errors.Is tell errors
	// apart; the peer's close frame is a *CloseError, and ErrShutdown a Shutdown.
	//
	// OnClose runs before OnError and before the close frame is sent, unless one was sent
	// already: it may still write. Functions that were started with Conn.Go may still run. A
	// panic in OnClose is a failure of the connection, like one in OnMessage. As with Serve,
	// Shutdown waits for OnClose.
	OnClose(err error)
}

// Registrer lets a [Controller] register its own route, with middleware around the handler
// or under another pattern.
//
// If not implemented, the route is GET with the pattern given to [Upgrader.RegisterRoutes].
type Registrer interface {
	// RegisterRoute registers handler on mux. The handler upgrades requests and serves
	// their connections. Upgrader.RegisterRoutes calls RegisterRoute once, with its own
	// pattern.
	RegisterRoute(mux *http.ServeMux, pattern string, handler http.Handler)
}

// OriginChecker lets a [Controller] decide which origins may connect.
//
// If not implemented, a request is accepted if it has no Origin header (browsers always
// send one), if the host of its origin is the request's host, or if Options.AllowedOrigins
// contain its origin.
type OriginChecker interface {
	// CheckOrigin reports whether the request's Origin header is acceptable. Its answer is
	// final, whatever the Options say. Decide with care: browsers send cookies with every
	// WebSocket handshake, whichever page starts it. CheckOrigin runs on the HTTP handler's
	// goroutine.
	CheckOrigin(request *http.Request) bool
}

// UpgradeChecker lets a [Controller] refuse upgrades for reasons of the application: a room
// is full, or a client connects too often.
//
// If not implemented, every valid handshake is upgraded.
type UpgradeChecker interface {
	// CheckUpgrade returns nil to accept the upgrade. A *RefusedError, wrapped or not,
	// refuses the upgrade with its status. Any other error is a failure, like an error of
	// Serve, and refuses the upgrade with 500. The returned error is the reason of the
	// refusal and is handled like the reason of any other refusal with that status: see
	// UpgradeErrorHandler.
	//
	// CheckUpgrade runs on the HTTP handler's goroutine, after all other checks of the
	// handshake, including the origin, have passed, and before the connection counts toward
	// MaxConnections. The upgrade may still fail afterwards.
	CheckUpgrade(request *http.Request) error
}

// SubprotocolLister lets a [Controller] choose the subprotocols for each request.
//
// If not implemented, Options.Subprotocols are the subprotocols for every request.
type SubprotocolLister interface {
	// Subprotocols returns the subprotocols for one request, in order of preference; they
	// replace Options.Subprotocols. Nil selects Options.Subprotocols. The first subprotocol
	// that the client offers is selected. The upgrade is refused with 500 if one of them is
	// not a token (RFC 9110, 5.6.2), is empty or is listed twice. Subprotocols runs on the
	// HTTP handler's goroutine, before the request is checked.
	Subprotocols(request *http.Request) []string
}

// HeaderUpgrader lets a [Controller] add headers to the 101 response, such as Set-Cookie.
type HeaderUpgrader interface {
	// UpgradeHeaders returns the headers to add. It runs on the HTTP handler's goroutine,
	// before the request is checked.
	UpgradeHeaders(request *http.Request) http.Header
}

// UpgradeErrorHandler lets a [Controller] write the responses of refused upgrades.
//
// If not implemented, the response is the JSON object {"error": "..."} with the status
// text, or with the reason if Debug is set or the reason is ErrNotHandshake. The reason of
// a refusal with status 500 is logged as an error.
type UpgradeErrorHandler interface {
	// OnUpgradeError writes the HTTP response of an upgrade that was refused with the given
	// status:
	//
	//   - 4xx for a mistake of the client; ErrNotHandshake if the request does not ask for an
	//     upgrade, with 426 if nothing else is wrong;
	//   - 500 for a response writer that can't be hijacked or options that are not valid;
	//   - 503 for a server that shuts down or has too many connections (ErrShutdown,
	//     ErrTooManyConnections);
	//   - or the status that CheckUpgrade chose.
	//
	// It runs on the HTTP handler's goroutine. The connection is not hijacked.
	OnUpgradeError(w http.ResponseWriter, request *http.Request, status int, reason error)
}

// ErrorHandler lets a [Controller] handle the failures of its connections.
//
// If not implemented, they are logged: failures of Serve as errors, protocol violations as
// warnings, peers that vanished at debug level.
type ErrorHandler interface {
	// OnError receives the failure of a connection: the error that Serve, Open, OnMessage or
	// a function started with Conn.Go returned, a panic of one of them as a *PanicError, or an
	// error that describes what the peer did. A close frame or a Shutdown ends a connection
	// without a failure.
	//
	// OnError runs on the goroutine of Serve or OnMessage, after Serve or OnClose has returned
	// and before the close frame is sent. It may still write: FromContext(request.Context()) returns the
	// connection. A panic in OnError is recovered and logged.
	OnError(request *http.Request, err error)
}
