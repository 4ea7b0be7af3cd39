package websocket

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A departure is why an Endpoint ends its connections. It decides their close frame.
type departure uint8

const (
	staying      departure = iota // the Endpoint accepts connections
	drained                       // Drain: Options.DrainClose
	shuttingDown                  // Shutdown: Options.ShutdownClose
)

// connSet is the set of the live upgrades and connections of an Endpoint. An upgrade is counted
// before anything else is done with its request, and becomes a member once there is a connection.
// The connection leaves when its socket is closed and Serve has returned. Shutdown waits until the
// set is empty.
//
// All methods may be called from any goroutine.
type connSet struct {
	mu       sync.Mutex
	upgrades int           // that are no members yet
	members  []*Conn       // each knows its place
	admitted int           // upgrades and members that count toward MaxConnections
	total    Stats         // of connections that have ended, and of upgrades
	empty    chan struct{} // nil until stopAccepting; closed when nothing remains
	why      departure     // of stopAccepting; a shutdown takes precedence
	until    time.Time     // the end of the turns that the Drain under way gives; zero without one
	replaced chan struct{} // of that Drain; closed when another call takes its place
	aborted  bool          // abort was called
}

// begin counts an upgrade, and reports false if stopAccepting was called. The caller must call
// abandon later, or else add, accept and remove.
func (s *connSet) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty != nil {
		return false
	}
	s.upgrades++
	return true
}

// admit lets an upgrade count toward MaxConnections. It reports false if limit upgrades and
// connections count already; a limit of 0 or less means no limit.
func (s *connSet) admit(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.admitted >= limit {
		return false
	}
	s.admitted++
	return true
}

// release undoes admit.
func (s *connSet) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitted--
}

// add makes the connection of an upgrade a member, before its 101 is written. If abort was
// called, add aborts the connection.
func (s *connSet) add(conn *Conn) {
	s.mu.Lock()
	s.upgrades--
	conn.place = int32(len(s.members)) //nolint:gosec // there are fewer connections
	s.members = append(s.members, conn)
	aborted := s.aborted
	s.mu.Unlock()
	if aborted {
		conn.abort()
	}
}

// accept notes that the 101 of a member is written. It returns why the connection must end at
// once, if stopAccepting was called in the meantime.
func (s *connSet) accept(conn *Conn) departure {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn.accepted = true
	s.total.Upgrades++
	return s.why
}

// abandon ends an upgrade that did not become a connection. conn is a member whose 101 could not
// be written, nil if there is none: abandon aborts it.
func (s *connSet) abandon(conn *Conn, admitted bool) {
	if conn != nil {
		conn.abort()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if admitted {
		s.admitted--
	}
	if conn != nil {
		s.leave(conn)
	} else {
		s.upgrades--
	}
	s.checkEmpty()
}

// remove removes a connection that has ended.
func (s *connSet) remove(conn *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitted--
	s.total.add(conn.t)
	s.leave(conn)
	s.checkEmpty()
}

// leave removes a member. The last one takes its place.
func (s *connSet) leave(conn *Conn) {
	last := len(s.members) - 1
	moved := s.members[last]
	s.members[conn.place] = moved
	moved.place = conn.place
	s.members[last] = nil
	s.members = s.members[:last]
}

// checkEmpty closes empty if nothing remains. That happens once, because nothing is added after
// stopAccepting.
func (s *connSet) checkEmpty() {
	if s.empty != nil && s.upgrades+len(s.members) == 0 {
		close(s.empty)
	}
}

// stopAccepting makes begin reject all later upgrades. It returns a channel that is closed
// when nothing remains, and the current connections. It may be called again. A shutdown takes the
// place of a Drain that is under way.
func (s *connSet) stopAccepting(why departure) (empty <-chan struct{}, conns []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked(why)
	if why == shuttingDown {
		s.replaceDrain(time.Time{})
	}
	return s.empty, s.acceptedLocked()
}

// drain is stopAccepting for a Drain whose turns end at the given time. It takes the place of one
// whose turns end later, and returns a channel that is closed when another call takes its own.
// If those of another Drain end earlier, it returns neither that channel nor connections.
func (s *connSet) drain(until time.Time) (empty, replaced <-chan struct{}, conns []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked(drained)
	if !s.until.IsZero() && !until.Before(s.until) {
		return s.empty, nil, nil
	}
	s.replaceDrain(until)
	s.replaced = make(chan struct{})
	return s.empty, s.replaced, s.acceptedLocked()
}

// stopLocked is the part of stopAccepting and drain that they have in common. The caller holds the
// mutex.
func (s *connSet) stopLocked(why departure) {
	s.why = max(s.why, why)
	if s.empty == nil {
		s.empty = make(chan struct{})
		s.checkEmpty()
	}
}

// replaceDrain ends the turns of a Drain that is under way. The caller holds the mutex.
func (s *connSet) replaceDrain(until time.Time) {
	if s.replaced != nil {
		close(s.replaced)
		s.replaced = nil
	}
	s.until = until
}

// accepted returns the connections whose 101 is written. The caller owns the slice.
func (s *connSet) accepted() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acceptedLocked()
}

// acceptedLocked is accepted for a caller that holds the mutex.
func (s *connSet) acceptedLocked() []*Conn {
	conns := make([]*Conn, 0, len(s.members))
	for _, conn := range s.members {
		if conn.accepted {
			conns = append(conns, conn)
		}
	}
	return conns
}

// abort closes the sockets of all members, and of those that upgrades in progress still add. It
// returns the number of both.
func (s *connSet) abort() int {
	s.mu.Lock()
	s.aborted = true
	members, upgrades := slices.Clone(s.members), s.upgrades
	s.mu.Unlock()
	for _, conn := range members {
		conn.abort()
	}
	return upgrades + len(members)
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
	for _, conn := range s.members {
		if conn.accepted {
			all.add(conn.t)
			all.Open++
			all.WindowBytes += conn.t.WindowMemory()
		}
	}
	return all
}
