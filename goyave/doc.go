// Package websocket turns a Goyave controller with a Serve method into a
// WebSocket endpoint. It takes the place of goyave.dev/goyave/v5/websocket: an
// application changes the import line. The upgrade, the origin check, panics,
// concurrent writers, the closing handshake and shutdown are taken care of; a
// controller reads and writes messages:
//
//	import websocket "github.com/goyave-contrib/websocket/goyave"
//
//	type Echo struct {
//		goyave.Component
//	}
//
//	func (ctrl *Echo) Serve(conn *websocket.Conn, request *goyave.Request) error {
//		for {
//			messageType, message, err := conn.ReadMessage()
//			if err != nil {
//				return err
//			}
//			if err := conn.WriteMessage(messageType, message); err != nil {
//				return err
//			}
//		}
//	}
//
//	router.Subrouter("/echo").Controller(websocket.New(&Echo{}))
//
// What else it wants to decide, a controller says by implementing [Registrer],
// [OriginChecker], [UpgradeChecker], [SubprotocolLister], [HeaderUpgrader],
// [UpgradeErrorHandler] or [ErrorHandler].
//
// # Configuration
//
// These entries hold for all Upgraders of a server; a field set in code wins.
// Times are in seconds, sizes in bytes, 0 means off, and one that is negative or
// too large panics when a route is registered.
//
//	websocket.maxMessageSize (1 MiB)     Options.MaxMessageSize
//	server.websocketCloseTimeout (10)    Options.CloseTimeout; Goyave's own entry
//	websocket.writeTimeout (10)          Options.WriteTimeout
//	websocket.pingInterval (30)          Options.PingInterval
//	websocket.pongTimeout (10)           Options.PongTimeout
//	websocket.heartbeatInterval (0)      Options.HeartbeatInterval
//	websocket.maxConnections (0)         Options.MaxConnections, of each Upgrader
//	websocket.allowedOrigins ([])        Options.AllowedOrigins, a list of strings;
//	                                     a malformed pattern panics, too
//	websocket.compressionThreshold (512) Options.CompressionThreshold; 0: all
//	                                     messages are compressed
//	websocket.compressionLevel (1)       Options.CompressionLevel, at most 9; 0:
//	                                     nothing is compressed that is written
//	websocket.shutdownTimeout (15)       how long a stopping server waits for
//	                                     connections; 0: as long as they take
//
// The entry app.debug switches Options.Debug on.
//
// # Shutdown
//
// When the server stops, and before the application's shutdown hooks run, new upgrades are
// refused with 503 and all connections begin to end: a client is told 1001, or what its
// Serve chose with [NewCloseError], as soon as its Serve returns, and 1001 after 3 seconds in
// any case. [goyave.Server.Start] returns when every Serve has returned, or when
// websocket.shutdownTimeout has passed; then the connections that are left are cut, which is
// logged as an error. Make that time longer than the close timeout and these 3 seconds
// together, so that one silent client is not cut. Hubs are shut down next: see [HubService].
//
// Goyave runs shutdown hooks in the order of registration, and the one that waits is
// registered with the first hub or route. A hook of the application that closes what
// Serve uses calls [ShutdownAll] first. A Serve that stops the server must do so from
// another goroutine, because Stop waits for Serve.
//
// On net/http, see github.com/goyave-contrib/websocket, whose Conn this is.
package websocket
