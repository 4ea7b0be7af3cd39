// Package hub sends messages to many WebSocket connections: to those in a room, those
// of a user, or all. On one node or, with a [Broker], on several.
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
//			if err := rooms.Broadcast("lobby", hub.Text(string(text)), member); err != nil {
//				return err
//			}
//		}
//	}
//
// No publisher waits for a slow reader: what a connection does not take at once waits
// in a bounded queue, and [Options] say what becomes of one whose queue is full.
// Connections that are quiet cost the hub no goroutine and no buffer.
package hub
