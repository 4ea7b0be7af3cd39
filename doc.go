// Package websocket turns a struct with a Serve method into a WebSocket
// endpoint on net/http. The upgrade, the origin check, panics, concurrent
// writers, the closing handshake and shutdown are taken care of; a controller
// reads and writes messages:
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
// What else it wants to decide, a controller says by implementing [Registrer],
// [OriginChecker], [UpgradeChecker], [SubprotocolLister], [HeaderUpgrader],
// [UpgradeErrorHandler] or [ErrorHandler].
//
// [Dial] is the other end: a client whose connection keeps the same promises.
//
// Applications on the Goyave framework import
// github.com/goyave-contrib/websocket/goyave instead. An adapter for another
// framework stands on [Endpoint].
//
// The package stands on github.com/gorilla/websocket, whose types are part of
// its API.
package websocket
