package websocket

import (
	"errors"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// Stats counts what an Endpoint does. All but Open grows from the start on.
type Stats struct {
	Open     int            // connections whose ending is not complete, now
	Upgrades uint64         // requests upgraded
	Refusals map[int]uint64 // requests refused, by the status that an UpgradeErrorHandler is given

	// Messages are text and binary ones, whose last frame has come or left. Bytes
	// are what the network has seen of the connections: all frames, with their
	// headers, before decompression.
	MessagesReceived, MessagesSent uint64
	BytesReceived, BytesSent       uint64

	// Close frames by code, 1005 for an empty one.
	CloseReceived, CloseSent map[int]uint64

	PeersGone uint64 // connections that ended with ErrPeerGone
}

// Stats returns the numbers of this moment. The maps are the caller's. It looks
// at every connection that is open.
func (e *Endpoint) Stats() Stats { return e.live.stats() }

// add adds up what one connection has counted.
func (s *Stats) add(t *transport.Conn) {
	counted := t.Counts()
	s.MessagesReceived += counted.MessagesReceived
	s.MessagesSent += counted.MessagesSent
	s.BytesReceived += counted.BytesReceived
	s.BytesSent += counted.BytesSent
	if counted.CloseReceived != 0 {
		count(&s.CloseReceived, counted.CloseReceived)
	}
	if counted.CloseSent != 0 {
		count(&s.CloseSent, counted.CloseSent)
	}
	if errors.Is(t.SocketFailure(), ErrPeerGone) {
		s.PeersGone++
	}
}

func count(m *map[int]uint64, key int) {
	if *m == nil {
		*m = make(map[int]uint64)
	}
	(*m)[key]++
}
