// Package hub sends messages to many WebSocket connections: to all of them, to a room, or to
// one user. It works on one node or, with a [Broker], on several.
//
//	var rooms = hub.New(hub.Options{})
//
//	func (ctrl *Chat) Serve(conn *websocket.Conn, r *http.Request) error {
//		member, err := rooms.Join(conn, "lobby")
//		if err != nil {
//			return err
//		}
//		for {
//			_, text, err := conn.ReadMessage()
//			if err != nil {
//				return err
//			}
//			if err := rooms.To(hub.Room("lobby")).Except(member).Send(hub.Text(string(text))); err != nil {
//				return err
//			}
//		}
//	}
//
// A sender never waits for a slow connection: data that a socket does not accept at once waits
// in the connection's bounded queue, and [Options] decide what happens when the queue is full.
// An idle member uses no goroutine and no buffer.
package hub
