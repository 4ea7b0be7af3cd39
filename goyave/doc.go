// Package websocket turns a Goyave controller with a Serve method into a WebSocket endpoint. It
// replaces goyave.dev/goyave/v5/websocket: an application changes one import line. The package
// handles the upgrade, the origin check, panics, concurrent writes, the closing handshake and
// shutdown; the controller reads and writes messages:
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
// A [MessageController] has no loop: the package calls its handler with each message.
//
// A controller can make further decisions by implementing [Registrer], [OriginChecker],
// [UpgradeChecker], [SubprotocolLister], [HeaderUpgrader], [UpgradeErrorHandler] or
// [ErrorHandler].
//
// # Configuration
//
// These entries apply to all Upgraders of a server. A field that is set in code overrides its
// entry. Times are in seconds and sizes in bytes; 0 means off. Registering a route panics if an
// entry is negative or too large.
//
//	websocket.maxMessageSize (1 MiB)     Options.MaxMessageSize
//	server.websocketCloseTimeout (10)    Options.CloseTimeout; Goyave's own entry
//	websocket.writeTimeout (10)          Options.WriteTimeout
//	websocket.pingInterval (30)          Options.PingInterval
//	websocket.pongTimeout (10)           Options.PongTimeout
//	websocket.parkAfter (5)              Options.ParkAfter
//	websocket.heartbeatInterval (0)      Options.HeartbeatInterval
//	websocket.maxConnections (0)         Options.MaxConnections, of each Upgrader
//	websocket.allowedOrigins ([])        Options.AllowedOrigins, a list of strings;
//	                                     a malformed pattern also panics
//	websocket.compression ("")           Options.Compression: "noContextTakeover",
//	                                     "contextTakeover", or "" for none
//	websocket.maxWindowBits (15)         Options.MaxWindowBits, 8 to 15
//	websocket.compressionThreshold       Options.CompressionThreshold; 0: all
//	                                     messages are compressed. Without it, 512,
//	                                     or 128 with context takeover
//	websocket.compressionLevel (1)       Options.CompressionLevel, at most 9; 0:
//	                                     written messages are not compressed
//	websocket.drainTime (0)              over how long a stopping server spreads
//	                                     the ends of its connections; 0: all end at
//	                                     once
//	websocket.shutdownTimeout (15)       how long a stopping server waits for
//	                                     connections, after the drain time; 0:
//	                                     without limit
//
// The entry app.debug enables Options.Debug.
//
// # Shutdown
//
// When the server stops, and before the application's shutdown hooks run, new upgrades are refused
// with 503 and all connections begin to end. A client gets its close frame as soon as its Serve
// returns, with 1001 or the code that Serve chose with [NewCloseError]; if Serve has not returned
// after 3 seconds, the client gets 1001. With websocket.drainTime, the connections end one after the
// other, as by [Upgrader.Drain], with code 1012. [goyave.Server.Start] returns when every Serve has
// returned, or when websocket.shutdownTimeout has passed as well. In the latter case the remaining
// connections are aborted, which is logged as an error. Set that time to more than 3 seconds plus
// the close timeout, so that a client that does not answer the close frame is not aborted. Hubs are
// shut down next: see [HubService].
//
// Goyave runs shutdown hooks in the order of registration, and the hook that waits for connections
// is registered with the first hub or route. A hook of the application that closes a resource that
// Serve uses must call [ShutdownAll] first. A Serve that stops the server must do so from another
// goroutine, because Stop waits for Serve.
//
// For net/http, see github.com/goyave-contrib/websocket. Both packages have the same Conn.
package websocket
