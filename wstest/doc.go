// Package wstest tests WebSocket endpoints: any http.Handler that upgrades, of
// this library, of a framework, or written by hand.
//
//	func TestEcho(t *testing.T) {
//		client := wstest.Dial(t, websocket.New(&Echo{}), "/", nil)
//		client.WriteText("hello")
//		client.ExpectText("hello")
//		client.Close(websocket.CloseNormalClosure, "bye")
//	}
//
// [Dial] connects in memory, to a handler, or to a server that listens. What the
// [Client] expects and does not get fails the test, with a message that says
// what came instead. It reads in the background, as a browser does. [DialRaw] is for
// tests of the protocol itself: it writes and reads frames, also those that no client
// would send.
//
// The network in memory ([Pipe], [Listener]) behaves like TCP, with a bounded
// buffer, deadlines, half-close and resets, and works in a testing/synctest
// bubble, where a timeout is tested to the exact instant in no time. TCP itself
// does not: its deadlines pass in real time.
package wstest
