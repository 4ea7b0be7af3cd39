package websocket

import (
	"maps"
	"sync"
)

// connSet is the set of what is alive of an Endpoint: the upgrades under way and the
// connections that they became. An upgrade enters it before anything else is done with
// its request; its connection takes its place, and leaves when its socket is closed and its
// Serve has returned. Shutdown waits until the set is empty.
//
// All methods may be called from any goroutine.
type connSet struct {
	mu       sync.Mutex
	members  map[member]struct{}
	admitted int           // of the members, how many count for MaxConnections
	total    Stats         // of connections that are gone, and of upgrades
	empty    chan struct{} // nil until stopAccepting; closed when no member is left
}

// A member of a connSet is an *upgrade or a *Conn.
type member interface {
	// abort closes the socket at once. It may be called at any time, more than once.
	abort()
}

// begin takes in an upgrade, unless stopAccepting was called. It leaves by remove, or its
// connection replaces it.
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

// admit has an upgrade count for MaxConnections, unless limit members do; 0 or less means
// no limit.
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

// release has an upgrade count no longer. It is for one that is still to be refused, which
// may take a while.
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

// replace puts a connection in the place of its upgrade, which was admitted. It reports
// whether stopAccepting was called meanwhile.
func (s *connSet) replace(u *upgrade, conn *Conn) (stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.members, u)
	s.members[conn] = struct{}{}
	s.total.Upgrades++
	return s.empty != nil
}

// abandon removes an upgrade that became no connection.
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

// removeLocked closes empty if no member is left. That happens once: none comes any more.
func (s *connSet) removeLocked(m member) {
	delete(s.members, m)
	if s.empty != nil && len(s.members) == 0 {
		close(s.empty)
	}
}

// stopAccepting has begin refuse all later upgrades. It returns a channel that is closed
// when no member is left, and the connections that there are.
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

// abort closes the sockets of all members and returns how many there are.
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

// rejected counts an upgrade that was refused with the given status.
func (s *connSet) rejected(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.total.Refusals, status)
}

// stats returns the numbers of this moment, with maps that are the caller's.
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
