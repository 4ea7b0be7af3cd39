package transport

import ws "github.com/gorilla/websocket"

// Events is the layer above, as the engine sees it. A method that may be called while locks are
// held must not read from or write to the connection, and must not wait.
type Events interface {
	// CancelContext cancels the connection's context. Locks may be held.
	CancelContext(cause error)
	// Control handles a ping or a pong. The reading goroutine calls it, with no lock held, and
	// its error becomes the error of the read.
	Control(messageType int, data string) error
	// PeerClosed handles the peer's close frame. The reading goroutine calls it once, with no
	// lock held, and its error becomes the error of the read.
	PeerClosed(ce *ws.CloseError) error
	// SocketClosing is called once, before the socket is closed. Locks may be held.
	SocketClosing()
	// Guard calls f on the same goroutine, which is one of the engine's, and recovers its
	// panic.
	Guard(f func())
}

// noEvents is the Events of a connection before SetEvents.
type noEvents struct{}

func (noEvents) CancelContext(error)             {}
func (noEvents) Control(int, string) error       { return nil }
func (noEvents) PeerClosed(*ws.CloseError) error { return nil }
func (noEvents) SocketClosing()                  {}

func (noEvents) Guard(f func()) {
	defer func() { _ = recover() }() // the socket is gone, and so the handshake fails
	f()
}
