// Package websocket turns a struct with a Serve method into a WebSocket endpoint
// on net/http. The library does the upgrade, the origin check, the recovery of
// panics, the serialization of writers, the closing handshake and the shutdown;
// a controller reads and writes messages:
//
//	type Echo struct{}
//
//	func (ctrl *Echo) Serve(conn *websocket.Conn, request *http.Request) error {
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
//	websocket.New(&Echo{}).RegisterRoutes(mux, "/echo")
//
// A [MessageController] has no loop: the library calls its handler with each message.
//
// A controller decides more by implementing optional interfaces: [Registrer],
// [OriginChecker], [UpgradeChecker], [SubprotocolLister], [HeaderUpgrader],
// [UpgradeErrorHandler] or [ErrorHandler].
//
// [Dial] is the client's end. Its connections keep the same promises.
// Applications on the Goyave framework import
// github.com/goyave-contrib/websocket/goyave instead. [Endpoint] is what an
// adapter for another framework is built on.
//
// # Concurrency
//
// One goroutine at a time may read from a [Conn]. Any number of goroutines may
// write, ping or close at the same time; each write is one whole message. Reading
// must go on until it returns an error, because pings, pongs and the peer's close
// frame are handled by the goroutine that reads. [Conn.CloseRead] does that for a
// connection on which no messages are expected. Goroutines that belong to a
// connection are started with [Conn.Go], and are waited for when it ends.
//
// Serve runs in a goroutine of its own, and the HTTP handler returns as soon as the
// 101 response is written. With Upgrader.ServeInHandler or [Endpoint.Serve], Serve runs in
// the handler, for routers and middleware that hold something until their handler returns.
//
// # Defaults
//
// The zero value of [Options] is safe: messages are at most 1 MiB long, text must
// be UTF-8, only pages of the request's own host may connect, a peer that takes
// nothing for 10 seconds or that does not answer pings is disconnected, and the
// closing handshake takes at most 10 seconds. In every setting, zero means the
// default and a negative value means off; CompressionLevel alone has negative levels.
//
// # How connections end
//
// A connection is closed when Serve returns, with the code that its error stands
// for: 1000 (normal closure) after nil, the code of a [CloseError] made by
// [NewCloseError], and 1011 (internal error) after any other error or a panic.
// Errors of the connection's own reads and writes may be returned as they are:
// the library knows them, and reports nothing a second time. A peer that violates the
// protocol gets a close frame with code 1002, 1007 or 1009. Every failure goes to the
// [ErrorHandler], or else to Options.Logger.
//
// # Shutdown
//
// [Upgrader.Shutdown] refuses upgrades with 503 and makes every read fail with
// [ErrShutdown], so that Serve can return. Clients are closed with 1001 (going
// away) unless Serve chooses another ending. A Serve that does not return in time
// has its connection closed under it. [Upgrader.Drain] does the same for one connection after
// the other, spread over a time, so that not all clients reconnect at the same moment.
//
// # Errors
//
// Every error of a read is final: later reads return it again. Only an error of
// [Conn.ReadJSON] that is about JSON is not: the next message can be read. [CloseStatus] tells
// the close code that an error stands for, [IsDisconnect] a peer that vanished.
// The errors to compare with errors.Is are [ErrShutdown], [ErrPeerGone],
// [ErrReadLimit], [ErrCloseSent], [ErrQueueFull], [ErrTooManyConnections],
// [ErrNotHandshake], [ErrBadHandshake], os.ErrDeadlineExceeded and net.ErrClosed.
//
// # gorilla/websocket
//
// The package stands on github.com/gorilla/websocket, whose types are part of its
// API. A connection of gorilla's is embedded in [Conn] for code that was written for it.
// Handshakes are checked, and messages read and written, by this package.
package websocket
