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
// or all. Messages are delivered in rounds, one at a time: each goes over all members
// once, with all the messages that had come, so that they leave in one write.
type group struct {
	hub   *Hub
	topic Topic

	mu      sync.Mutex
	slots   []*membership // nil where one has left
	members int
	pending []delivery
	round   bool      // one is under way, or will be at once
	begun   sync.Cond // a round has taken what was pending
}

// A membership is a member's place in a group.
type membership struct {
	member *Member
	group  *group
	slot   int32 // guarded by the group's mutex
	left   bool  // guarded by the member's
}

// A delivery is a message to the members of a group, but for some.
type delivery struct {
	message *websocket.EncodedMessage // nil for nothing but after
	except  []*Member
	after   func() // called when it is queued for all, as is what was published before
}

func newGroup(h *Hub, topic Topic) *group {
	g := &group{hub: h, topic: topic}
	g.begun.L = &g.mu
	return g
}

func (g *group) add(ms *membership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ms.slot = int32(len(g.slots))
	g.slots = append(g.slots, ms)
	g.members++
}

// remove tells whether nobody is left. A round under way must not find another one in
// the slot, so it stays empty until the next round.
func (g *group) remove(ms *membership) (empty bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[ms.slot] = nil
	g.members--
	if !g.round {
		g.compact()
	}
	return g.members == 0
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

// publish delivers a message. If a round is under way, the next one does; otherwise
// this is the round.
func (g *group) publish(d delivery) {
	g.mu.Lock()
	for len(g.pending) >= maxPending {
		g.begun.Wait()
	}
	g.pending = append(g.pending, d)
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

// deliver is a round. It tells whether there is another one to do.
func (g *group) deliver() (more bool) {
	g.mu.Lock()
	deliveries := g.pending
	g.pending = nil
	g.compact()
	end := len(g.slots) // who joins later gets what comes later
	g.begun.Broadcast()
	g.mu.Unlock()

	r := newRound(deliveries)
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

	for _, d := range deliveries {
		if d.after != nil {
			d.after()
		}
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	g.round = len(g.pending) > 0
	return g.round
}

// settle returns when what has been published is queued for all.
func (g *group) settle() {
	g.mu.Lock()
	busy := g.round
	g.mu.Unlock()
	if busy {
		settled := make(chan struct{})
		g.publish(delivery{after: func() { close(settled) }})
		<-settled
	}
}

// A round is what is delivered in one.
type round struct {
	deliveries []delivery
	messages   []*websocket.EncodedMessage // of them all, in their order
	selective  bool                        // some are not for all
}

func newRound(deliveries []delivery) *round {
	r := &round{deliveries: deliveries, messages: make([]*websocket.EncodedMessage, 0, len(deliveries))}
	for _, d := range deliveries {
		if d.message != nil {
			r.messages = append(r.messages, d.message)
			r.selective = r.selective || len(d.except) > 0
		}
	}
	return r
}

// messagesFor returns those that a member gets.
func (r *round) messagesFor(m *Member) []*websocket.EncodedMessage {
	excepted := func(d delivery) bool { return slices.Contains(d.except, m) }
	if !r.selective || !slices.ContainsFunc(r.deliveries, excepted) {
		return r.messages
	}
	var messages []*websocket.EncodedMessage
	for _, d := range r.deliveries {
		if d.message != nil && !excepted(d) {
			messages = append(messages, d.message)
		}
	}
	return messages
}
