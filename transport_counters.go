package websocket

import (
	"sync/atomic"

	ws "github.com/gorilla/websocket"
)

// counters are those of one connection. An Endpoint sums them up when it is asked, so that
// its connections do not contend for shared ones.
type counters struct {
	MessagesReceived, MessagesSent atomic.Uint64
	BytesReceived, BytesSent       atomic.Uint64
	CloseReceived, CloseSent       atomic.Int32 // codes of close frames; 0: none
	PeerGone                       atomic.Bool  // the peer stopped answering

	backlogTaken atomic.Uint32 // bytes that the peer had at the last noteBacklog, modulo 2^32; here, where it takes no room
}

// CloseCode is the code of the close frame that decided how the connection ended, 1006
// without one.
func (c *counters) CloseCode(byPeer bool) int {
	received, sent := int(c.CloseReceived.Load()), int(c.CloseSent.Load())
	switch {
	case sent == 0 && received == 0:
		return ws.CloseAbnormalClosure
	case sent == 0 || byPeer && received != 0:
		return received
	default:
		return sent
	}
}
