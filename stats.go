package websocket

import (
	"maps"
	"sync/atomic"
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
func (e *Endpoint) Stats() Stats {
	e.live.mu.Lock()
	defer e.live.mu.Unlock()
	s := e.live.total
	s.Refusals = maps.Clone(s.Refusals)
	s.CloseReceived = maps.Clone(s.CloseReceived)
	s.CloseSent = maps.Clone(s.CloseSent)
	s.Open = len(e.live.conns)
	for conn := range e.live.conns {
		conn.t.counts.addTo(&s)
	}
	return s
}

// refused counts a refusal.
func (r *register) refused(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.total.Refusals, status)
}

// counts are those of one connection. They are summed up when somebody asks, so
// that connections have nothing in common to count in.
type counts struct {
	messagesReceived, messagesSent atomic.Uint64
	bytesReceived, bytesSent       atomic.Uint64
	closeReceived, closeSent       atomic.Int32 // 0: none
	peerGone                       atomic.Bool
	taken                          atomic.Uint32 // bytes that the peer had at the last noteBacklog, modulo 2^32
}

func (c *counts) addTo(s *Stats) {
	s.MessagesReceived += c.messagesReceived.Load()
	s.MessagesSent += c.messagesSent.Load()
	s.BytesReceived += c.bytesReceived.Load()
	s.BytesSent += c.bytesSent.Load()
	if code := c.closeReceived.Load(); code != 0 {
		count(&s.CloseReceived, int(code))
	}
	if code := c.closeSent.Load(); code != 0 {
		count(&s.CloseSent, int(code))
	}
	if c.peerGone.Load() {
		s.PeersGone++
	}
}

// code is that of the close frame that decided how the connection ended.
func (c *counts) code(byPeer bool) int {
	received, sent := int(c.closeReceived.Load()), int(c.closeSent.Load())
	switch {
	case sent == 0 && received == 0:
		return CloseAbnormalClosure
	case sent == 0 || byPeer && received != 0:
		return received
	default:
		return sent
	}
}

func count(m *map[int]uint64, key int) {
	if *m == nil {
		*m = make(map[int]uint64)
	}
	(*m)[key]++
}
