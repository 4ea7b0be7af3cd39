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
	s.MessagesReceived += t.Counts.MessagesReceived.Load()
	s.MessagesSent += t.Counts.MessagesSent.Load()
	s.BytesReceived += t.Counts.BytesReceived.Load()
	s.BytesSent += t.Counts.BytesSent.Load()
	if code := t.CloseReceived(); code != 0 {
		count(&s.CloseReceived, code)
	}
	if code := int(t.Counts.CloseSent.Load()); code != 0 {
		count(&s.CloseSent, code)
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
