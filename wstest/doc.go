// Package wstest has clients and networks for tests of WebSocket endpoints: any http.Handler that
// upgrades, from this library, from a framework, or written by hand.
//
//	func TestEcho(t *testing.T) {
//		client := wstest.Dial(t, websocket.New(&Echo{}), "/", nil)
//		client.WriteText("hello")
//		client.ExpectText("hello")
//		client.Close(websocket.CloseNormalClosure, "bye")
//	}
//
// [Dial] connects to a handler, in memory, or to a listening server. If a message that the [Client]
// expects does not arrive, the test fails with a message that shows what arrived instead. The
// Client reads in the background, as a browser does. [DialRaw] is for tests of the protocol itself:
// it writes and reads single frames, including invalid ones.
//
// The in-memory network ([Pipe], [Listener]) behaves like TCP, with bounded buffers, deadlines,
// half-close and resets. It works in a testing/synctest bubble, where a test checks a timeout to
// the exact instant without waiting. TCP itself does not work in a bubble: its deadlines pass in
// real time.
package wstest
