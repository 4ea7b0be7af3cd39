package hub

import "sync"

const (
	// chunk is how many members a pass copies at once under the lock of the group.
	chunk = 128

	// maxPending is how many messages may wait for the next pass of a group. A publisher
	// that is faster than the passes waits for the next pass to start. Passes never wait for
	// a peer to read.
	maxPending = 128
)

// A group is a set of members that receive the same messages: those in a room, those with a
// key, or all. A published message has its final position in the group's log when publish
// returns, and goes to the members of that moment. Passes deliver the log, one pass at a
// time: a pass visits each member once, with all messages that were in the log when it
// started, so that they leave in one write. A member that leaves does not wait for a pass:
// it receives its undelivered messages at once.
type group struct {
	hub   *Hub
	topic Topic

	mu          sync.Mutex
	slots       []*membership // nil where a member has left
	members     int
	log         []delivery // messages that some members have not received, in order; appended to or replaced, never changed
	logStart    uint32     // the position of log[0]
	inPass      int        // how many deliveries of log the running pass delivers
	passing     bool       // a pass is running or about to start
	passStarted sync.Cond  // signaled when a pass has fixed its deliveries

	follower *follower // of a room with history, nil for others
}

func newGroup(h *Hub, topic Topic) *group {
	g := &group{hub: h, topic: topic}
	g.passStarted.L = &g.mu
	return g
}

// add adds a member, which receives the messages that are published from now on. The caller
// holds the member's mutex.
func (g *group) add(ms *membership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ms.slot = int32(len(g.slots))
	ms.next = g.logEnd()
	g.slots = append(g.slots, ms)
	g.members++
}

// remove removes a member. It returns the messages that the member has not received, nil if
// there are none, and reports whether the group is empty now. The slot stays empty while a
// pass is running: the pass must not find another member in it. The caller holds the
// member's mutex.
func (g *group) remove(ms *membership) (undelivered *pass, empty bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[ms.slot] = nil
	g.members--
	if !g.passing {
		g.compact()
	}
	return g.undeliveredLocked(ms), g.members == 0
}

// at returns the published message at a position, which some member has not received.
func (g *group) at(position uint32) delivery {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log[position-g.logStart]
}

// undelivered returns the published messages that a member has not received, nil if there
// are none. The caller holds the member's mutex.
func (g *group) undelivered(ms *membership) *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.undeliveredLocked(ms)
}

func (g *group) undeliveredLocked(ms *membership) *pass {
	if ms.next == g.logEnd() {
		return nil
	}
	p := newPass(ms.next, g.log[ms.next-g.logStart:])
	return &p
}

// logEnd returns the position of the next published message. The caller holds the mutex.
func (g *group) logEnd() uint32 { return g.logStart + uint32(len(g.log)) }

// compact removes the empty slots when there are at least as many of them as members. The
// caller holds the mutex, and no pass is running.
func (g *group) compact() {
	if len(g.slots) < 2*g.members || len(g.slots) == g.members {
		return
	}
	kept := make([]*membership, 0, g.members)
	for _, ms := range g.slots {
		if ms != nil {
			ms.slot = int32(len(kept))
			kept = append(kept, ms)
		}
	}
	g.slots = kept
}

// all returns the members in the order in which they entered. A nil group has none.
func (g *group) all() []*Member {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	members := make([]*Member, 0, g.members)
	for _, ms := range g.slots {
		if ms != nil {
			members = append(members, ms.member)
		}
	}
	return members
}

func (g *group) len() int {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members
}

// publish appends a message to the log. If a pass is running, the next pass delivers the
// message; otherwise publish runs the pass itself.
func (g *group) publish(d delivery) {
	g.mu.Lock()
	g.awaitSpaceLocked()
	first := g.appendLocked(d)
	g.mu.Unlock()
	if first {
		g.pass()
	}
}

// awaitSpaceLocked waits until fewer than maxPending messages wait for the next pass. The caller
// holds the mutex, and must not be about to call pass.
func (g *group) awaitSpaceLocked() {
	for len(g.log)-g.inPass >= maxPending {
		g.passStarted.Wait()
	}
}

func (g *group) awaitSpace() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.awaitSpaceLocked()
}

// appendLocked appends a message to the log. It reports whether no pass is running, nor about to
// start: the caller must call pass then. The caller holds the mutex.
func (g *group) appendLocked(d delivery) (first bool) {
	g.log = append(g.log, d)
	if d.more != nil && d.more.kept != nil && d.more.kept.follower == g.follower {
		g.follower.advanceLocked(d.more.kept)
	}
	first = !g.passing
	g.passing = true
	return first
}

// pass delivers the log.
func (g *group) pass() {
	if !g.deliver() {
		return
	}
	deliverMore := func() {
		for g.deliver() {
		}
	}
	if !g.hub.start(deliverMore) { // a goroutine, so that the publisher can return
		deliverMore()
	}
}

// deliver runs one pass and reports whether another one is needed.
func (g *group) deliver() (more bool) {
	g.mu.Lock()
	g.compact()
	start, deliveries := g.logStart, g.log
	g.inPass = len(deliveries)
	end := len(g.slots) // members that enter later receive only later messages
	g.passStarted.Broadcast()
	g.mu.Unlock()

	p := newPass(start, deliveries)
	var members [chunk]*membership
	for i := 0; i < end; i += chunk {
		g.mu.Lock()
		n := copy(members[:], g.slots[i:min(i+chunk, end)])
		g.mu.Unlock()
		for _, ms := range members[:n] {
			if ms != nil {
				ms.member.deliver(ms, &p)
			}
		}
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	g.logStart += uint32(g.inPass)
	g.log = append([]delivery(nil), g.log[g.inPass:]...) // a copy, which releases the delivered messages
	g.inPass = 0
	g.passing = len(g.log) > 0
	if !g.passing {
		g.compact()
	}
	return g.passing
}
