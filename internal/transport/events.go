package transport

import ws "github.com/gorilla/websocket"

// Events is what the layer above is told of, and asked for. Where locks may be held then, it
// neither reads nor writes, nor waits.
type Events interface {
	// CancelContext ends the connection's context. Locks may be held.
	CancelContext(cause error)
	// Control is called for each ping and pong, by the read that meets it, with no lock
	// held. Its error is the read's.
	Control(messageType int, data string) error
	// PeerClosed is called once, by the read that meets the peer's close frame, with no
	// lock held. Its error is the read's.
	PeerClosed(ce *ws.CloseError) error
	// SocketClosing is called when the socket is about to be closed. Locks may be held.
	SocketClosing()
	// Guard calls f, which runs on a goroutine of the transport's, and survives its panic.
	Guard(f func())
}

// noEvents is for a connection whose opening handshake is under way.
type noEvents struct{}

func (noEvents) CancelContext(error)             {}
func (noEvents) Control(int, string) error       { return nil }
func (noEvents) PeerClosed(*ws.CloseError) error { return nil }
func (noEvents) SocketClosing()                  {}

func (noEvents) Guard(f func()) {
	defer func() { _ = recover() }() // the handshake fails by itself
	f()
}
