package websocket

import (
	"maps"
	"sync"
)

// connSet is the set of the live upgrades and connections of an Endpoint. An upgrade enters
// it before anything else is done with its request. Its connection replaces it, and leaves
// when the socket is closed and Serve has returned. Shutdown waits until the set is empty.
//
// All methods may be called from any goroutine.
type connSet struct {
	mu       sync.Mutex
	members  map[member]struct{}
	admitted int           // members that count toward MaxConnections
	total    Stats         // of connections that have ended, and of upgrades
	empty    chan struct{} // nil until stopAccepting; closed when no member remains
}

// A member of a connSet is an *upgrade or a *Conn.
type member interface {
	// abort closes the socket at once. It may be called at any time, more than once.
	abort()
}

// begin adds an upgrade, and reports false if stopAccepting was called. The caller must
// call replace or abandon later.
func (s *connSet) begin(u *upgrade) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty != nil {
		return false
	}
	if s.members == nil {
		s.members = make(map[member]struct{})
	}
	s.members[u] = struct{}{}
	return true
}

// admit lets an upgrade count toward MaxConnections. It reports false if limit members
// count already; a limit of 0 or less means no limit.
func (s *connSet) admit(u *upgrade, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.admitted >= limit {
		return false
	}
	u.admitted = true
	s.admitted++
	return true
}

// release undoes admit for an upgrade whose refusal still has to be written, which may take
// a while.
func (s *connSet) release(u *upgrade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(u)
}

func (s *connSet) releaseLocked(u *upgrade) {
	if u.admitted {
		u.admitted = false
		s.admitted--
	}
}

// replace replaces an admitted upgrade by its connection. It reports whether stopAccepting
// was called in the meantime.
func (s *connSet) replace(u *upgrade, conn *Conn) (stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.members, u)
	s.members[conn] = struct{}{}
	s.total.Upgrades++
	return s.empty != nil
}

// abandon removes an upgrade that did not become a connection.
func (s *connSet) abandon(u *upgrade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(u)
	s.removeLocked(u)
}

// remove removes a connection that has ended.
func (s *connSet) remove(conn *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitted--
	s.total.add(conn.t)
	s.removeLocked(conn)
}

// removeLocked removes a member, and closes empty if none remains. That happens once,
// because no member is added after stopAccepting.
func (s *connSet) removeLocked(m member) {
	delete(s.members, m)
	if s.empty != nil && len(s.members) == 0 {
		close(s.empty)
	}
}

// stopAccepting makes begin reject all later upgrades. It returns a channel that is closed
// when no member remains, and the current connections. It may be called again.
func (s *connSet) stopAccepting() (empty <-chan struct{}, conns []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		s.empty = make(chan struct{})
		if len(s.members) == 0 {
			close(s.empty)
		}
	}
	return s.empty, s.connsLocked()
}

func (s *connSet) connsLocked() (conns []*Conn) {
	for m := range s.members {
		if conn, ok := m.(*Conn); ok {
			conns = append(conns, conn)
		}
	}
	return conns
}

// abort closes the sockets of all members and returns the number of members.
func (s *connSet) abort() int {
	s.mu.Lock()
	members := make([]member, 0, len(s.members))
	for m := range s.members {
		members = append(members, m)
	}
	s.mu.Unlock()
	for _, m := range members {
		m.abort()
	}
	return len(members)
}

// countRefusal counts an upgrade that was refused with the given status.
func (s *connSet) countRefusal(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.total.Refusals, status)
}

// stats returns the current numbers. The caller owns the maps.
func (s *connSet) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.total
	all.Refusals = maps.Clone(all.Refusals)
	all.CloseReceived = maps.Clone(all.CloseReceived)
	all.CloseSent = maps.Clone(all.CloseSent)
	for _, conn := range s.connsLocked() {
		all.add(conn.t)
		all.Open++
	}
	return all
}
