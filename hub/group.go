package hub

import (
	"slices"
	"sync"

	"github.com/goyave-contrib/websocket"
)

const (
	// chunk is how many members are looked up at once, under the lock of their group.
	chunk = 128

	// maxPending is how many messages may wait for the round of a group: whoever is
	// faster than the rounds waits for the next one. No round waits for a reader.
	maxPending = 128
)

// A group is members that are written to together: those in a room, those with a key,
// or all. What is published has its place in the order of things when publish returns:
// it is for the members of that moment. Rounds bring it to them, one at a time: each goes
// over all members once, with all the messages that had come, so that they leave in one
// write. A member that leaves does not wait for a round: it takes what is left for it.
type group struct {
	hub   *Hub
	topic Topic

	mu      sync.Mutex
	slots   []*membership // nil where one has left
	members int
	log     []delivery // what is not delivered to all yet, in order; it is only appended to or replaced
	begin   uint32     // the position of log's first
	taken   int        // how many of log the round under way delivers
	round   bool       // one is under way, or will be at once
	begun   sync.Cond  // a round has taken what was there
}

// A delivery is a message to the members of a group, but for some.
type delivery struct {
	message *websocket.EncodedMessage
	except  []*Member
}

func newGroup(h *Hub, topic Topic) *group {
	g := &group{hub: h, topic: topic}
	g.begun.L = &g.mu
	return g
}

// add takes in a member, whose mutex is held: it gets what is published from now on.
func (g *group) add(ms *membership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ms.slot = int32(len(g.slots))
	ms.seen = g.begin + uint32(len(g.log))
	g.slots = append(g.slots, ms)
	g.members++
}

// remove takes out a member, whose mutex is held. It returns what was published before
// and has not come to the member, and reports whether nobody is left. A round under way
// must not find another one in the slot, so it stays empty until the next round.
func (g *group) remove(ms *membership) (rest *round, empty bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[ms.slot] = nil
	g.members--
	if !g.round {
		g.compact()
	}
	return g.restLocked(ms), g.members == 0
}

// rest returns what was published and has not come to a member, whose mutex is held;
// nil if that is nothing.
func (g *group) rest(ms *membership) *round {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.restLocked(ms)
}

func (g *group) restLocked(ms *membership) *round {
	if ms.seen == g.begin+uint32(len(g.log)) {
		return nil
	}
	return newRound(ms.seen, g.log[ms.seen-g.begin:])
}

// compact closes the gaps when they are as many as the members. No round is under way;
// the mutex is held.
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

// all returns the members there are, in the order in which they came.
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

// publish gives a message its place, behind those before. If a round is under way, the
// next one delivers it; otherwise this is the round.
func (g *group) publish(d delivery) {
	g.mu.Lock()
	for len(g.log)-g.taken >= maxPending {
		g.begun.Wait()
	}
	g.log = append(g.log, d)
	first := !g.round
	g.round = true
	g.mu.Unlock()
	if !first || !g.deliver() {
		return
	}
	rest := func() {
		for g.deliver() {
		}
	}
	if !g.hub.start(rest) { // the publisher has other things to do
		rest()
	}
}

// deliver is a round. It reports whether there is another one to do.
func (g *group) deliver() (more bool) {
	g.mu.Lock()
	g.compact()
	begin, deliveries := g.begin, g.log
	g.taken = len(deliveries)
	end := len(g.slots) // who joins later gets what comes later
	g.begun.Broadcast()
	g.mu.Unlock()

	r := newRound(begin, deliveries)
	var members [chunk]*membership
	for begin := 0; begin < end; begin += chunk {
		g.mu.Lock()
		n := copy(members[:], g.slots[begin:min(begin+chunk, end)])
		g.mu.Unlock()
		for _, ms := range members[:n] {
			if ms != nil {
				ms.member.deliver(ms, r)
			}
		}
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin += uint32(g.taken)
	g.log = append([]delivery(nil), g.log[g.taken:]...) // and nothing holds what is delivered
	g.taken = 0
	g.round = len(g.log) > 0
	if !g.round {
		g.compact()
	}
	return g.round
}

// A round is deliveries that follow each other.
type round struct {
	begin      uint32 // the position of the first
	deliveries []delivery
	messages   []*websocket.EncodedMessage // theirs
	selective  bool                        // some are not for all
}

func newRound(begin uint32, deliveries []delivery) *round {
	r := &round{begin: begin, deliveries: deliveries, messages: make([]*websocket.EncodedMessage, len(deliveries))}
	for i, d := range deliveries {
		r.messages[i] = d.message
		r.selective = r.selective || len(d.except) > 0
	}
	return r
}

// end is the position behind the last.
func (r *round) end() uint32 { return r.begin + uint32(len(r.deliveries)) }

// had returns how many of the deliveries come before a position.
func (r *round) had(position uint32) int {
	return min(max(int(int32(position-r.begin)), 0), len(r.deliveries))
}

// messagesFor returns those that are for a member, from a position on.
func (r *round) messagesFor(m *Member, from uint32) []*websocket.EncodedMessage {
	had := r.had(from)
	if !r.selective || !slices.ContainsFunc(r.deliveries[had:], func(d delivery) bool { return !d.isFor(m) }) {
		return r.messages[had:]
	}
	var messages []*websocket.EncodedMessage
	for _, d := range r.deliveries[had:] {
		if d.isFor(m) {
			messages = append(messages, d.message)
		}
	}
	return messages
}

func (d delivery) isFor(m *Member) bool { return !slices.Contains(d.except, m) }
