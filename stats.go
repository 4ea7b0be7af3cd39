package websocket

import (
	"errors"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// Stats counts what an Endpoint does. All numbers but Open and WindowBytes only grow, from zero at the
// start.
type Stats struct {
	Open     int            // connections that have not completely ended
	Upgrades uint64         // requests upgraded
	Refusals map[int]uint64 // refused requests by status, as in OnUpgradeError

	// Text and binary messages whose last frame was received or sent, and the bytes that
	// the network carried: all frames with their headers, compressed messages as they were
	// sent.
	MessagesReceived, MessagesSent uint64
	BytesReceived, BytesSent       uint64

	// Close frames by code; 1005 stands for an empty one.
	CloseReceived, CloseSent map[int]uint64

	PeersGone uint64 // connections that ended with ErrPeerGone

	// WindowBytes is the memory that open connections hold for compression with context
	// takeover, in bytes: see Options.MaxWindowBits. It also shrinks.
	WindowBytes int64
}

// Stats returns the current numbers. The caller owns the maps. Stats looks at every open
// connection, and upgrades wait meanwhile: call it every few seconds, not for each message.
// It may be called from any goroutine.
func (e *Endpoint) Stats() Stats { return e.live.stats() }

// add adds the counters of one connection.
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
