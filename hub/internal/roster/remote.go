package roster

import (
	"context"
	"time"
)

// A remoteRoom is what this node has put into a room for the others, and what it knows of them. It is
// used with a broker only.
type remoteRoom struct {
	toPut    []*person
	putting  bool   // a call for this room is under way
	revision uint64 // that was put last; 0 if nobody is there as far as the others know
	emptied  uint64 // the revision with which that became so
	again    bool   // everything is put again, because the broker has lost it
	partial  bool   // the broker has the mark that says that more is about to be put
	verify   bool   // what the broker has of this node is to be compared, whatever its revision
	touch    bool   // the revision is to be put, whatever changes

	listed     bool
	listing    bool // a call is under way
	nodes      map[string]*roomNode
	held       []*publication // those that can be applied after the next list
	heldSize   int
	generation uint64 // of the last list

	isToList, isToPut, isToEnd, isSuspect bool // it is in the queues of serving
}

// A peer is another node.
type peer struct {
	name   string
	heard  uint64    // in which tick
	lost   time.Time // since when the broker does not know it, though this node was dropped, too; or zero
	leaves bool      // it has been shut down
}

// A roomNode is another node in a room.
type roomNode struct {
	peer     *peer
	revision uint64    // that is known
	wanted   uint64    // that there is; not more than revision, unless something was lost
	doubt    time.Time // since when the broker does not have what is known of it; or zero
	partial  bool      // it is putting everything again
}

// partialKey marks in a broker that a node is about to put more. No person has it.
const partialKey = ""

// mostHeld limits the bytes of the publications of a room that wait for a list.
const mostHeld = 1 << 20

func (p *Roster) toPut(r *Room, who *person) {
	if p.broker == nil {
		r.forget(who)
		return
	}
	if !who.isToPut {
		who.isToPut = true
		r.remote.toPut = append(r.remote.toPut, who)
	}
	p.queuePut(r)
}

// put puts what has changed on this node in the first room that waits, and publishes it.
func (p *Roster) put() (done bool, err error) {
	p.mu.Lock()
	if len(p.serving.toPut) == 0 {
		p.mu.Unlock()
		return false, nil
	}
	r := p.serving.toPut[0]
	p.serving.toPut[0] = nil
	p.serving.toPut = p.serving.toPut[1:]
	r.remote.isToPut = false
	people, changes := r.takeToPut()
	partial := r.markPartial(&changes)
	if len(changes) == 0 && !r.remote.touch {
		p.mu.Unlock()
		return true, nil
	}
	p.revision++
	pub := &publication{node: p.options.Node, previous: r.remote.revision, revision: p.revision, changes: changes}
	r.remote.putting = true
	p.mu.Unlock()

	if err = p.limited(func(ctx context.Context) error {
		return p.broker.PutPresence(ctx, r.name, pub.node, pub.revision, changes)
	}); err == nil {
		_ = p.broker.Publish(Notice{RoomChanged, r.name, pub.encode()}) // as with a loss, the others notice
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	r.remote.putting = false
	if err != nil {
		for _, who := range people {
			who.isToPut = true
		}
		people = append(people, r.remote.toPut...)
		r.remote.toPut = people[:0]
		seen := make(map[*person]bool, len(people))
		for _, who := range people {
			if !seen[who] {
				seen[who] = true
				r.remote.toPut = append(r.remote.toPut, who)
			}
		}
		p.queuePut(r)
		return true, err
	}
	r.remote.revision, r.remote.partial, r.remote.touch = pub.revision, partial, false
	for _, who := range people {
		r.forget(who)
	}
	if len(r.remote.toPut) > 0 {
		p.queuePut(r)
	} else if r.remote.again = partial; r.locals == 0 {
		r.remote.revision, r.remote.emptied = 0, pub.revision // the broker may forget this node in this room
	}
	p.settle(r)
	return true, nil
}

// takeToPut takes people that have to be put, and returns what to put. The caller holds mu.
func (r *Room) takeToPut() (people []*person, changes []Entry) {
	size := 0
	for _, who := range r.remote.toPut {
		c := Entry{Key: who.key}
		if who.local != nil {
			c.Value = who.copyOfThisNode().encode()
		}
		size += len(c.Key) + len(c.Value)
		if size > putSize && len(people) > 0 {
			break
		}
		who.isToPut = false
		people, changes = append(people, who), append(changes, c)
	}
	rest := r.remote.toPut[len(people):]
	clear(r.remote.toPut[:len(people)])
	if r.remote.toPut = rest; len(rest) == 0 {
		r.remote.toPut = nil
	}
	return people, changes
}

// markPartial adds the mark that says that more is to follow, or takes it away. It returns whether the
// broker has it then.
func (r *Room) markPartial(changes *[]Entry) (partial bool) {
	partial = r.remote.again && len(r.remote.toPut) > 0
	switch {
	case partial && !r.remote.partial:
		*changes = append(*changes, Entry{Key: partialKey, Value: unset.encode()})
	case !partial && r.remote.partial:
		*changes = append(*changes, Entry{Key: partialKey})
	}
	return partial
}

// fits reports whether a revision that the broker has of this node is the last one that was put.
func (r *remoteRoom) fits(revision uint64) bool {
	return revision == r.revision || r.revision == 0 && revision == r.emptied
}

// putAgain has everything of this node put into a room, because the broker has lost it. Others may know
// an older state, so they have to list the room: the changes follow a revision that nobody has. The
// caller holds mu.
func (p *Roster) putAgain(r *Room) {
	if r.locals == 0 {
		r.remote.revision = 0
		return
	}
	r.remote.again, r.remote.partial = true, false
	p.revision++
	r.remote.revision = p.revision
	for _, who := range r.people {
		if who.local != nil {
			p.toPut(r, who)
		}
	}
}

// node returns what is known of a node in a room.
func (p *Roster) node(r *Room, name string) *roomNode {
	n := r.remote.nodes[name]
	if n == nil {
		other := p.peers[name]
		if other == nil {
			other = &peer{name: name}
			p.peers[name] = other
		}
		n = &roomNode{peer: other}
		if r.remote.nodes == nil {
			r.remote.nodes = make(map[string]*roomNode)
		}
		r.remote.nodes[name] = n
	}
	n.peer.heard = p.ticks
	return n
}

// Receive does what another node has published. It ignores malformed notices, and does not retain the
// body.
func (p *Roster) Receive(n Notice) {
	if p.broker == nil {
		return
	}
	switch n.Kind {
	case RoomChanged:
		if pub := new(publication); pub.decode(n.Body) && pub.node != p.options.Node {
			p.receivePublication(n.Name, pub)
		}
	case ValueSet:
		if value, ok := decodeStamped(n.Body); ok {
			p.receiveValue(n.Name, value)
		}
	case NodeGone:
		p.receiveGone(string(n.Body))
	}
}

func (p *Roster) receiveValue(key string, value *stamped) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lp := p.persons[key]
	if lp == nil || p.closed {
		return
	}
	if value.isBefore(lp.value) {
		p.queueSend(lp)
	}
	p.adopt(lp, value)
}

func (p *Roster) receiveGone(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	other := p.peers[node]
	if other == nil || other.leaves || p.closed {
		return
	}
	other.leaves = true
	if p.options.Grace > 0 {
		p.addGrace(graceItem{at: time.Now().Add(p.options.Grace), node: other})
	} else {
		p.dropPeer(other)
	}
}

func (p *Roster) receivePublication(room string, pub *publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if r == nil || p.closed {
		return
	}
	n := p.node(r, pub.node)
	if p.apply(r, n, pub) {
		return
	}
	n.wanted = max(n.wanted, pub.revision)
	p.suspect(r) // in case that it is not held, or the list fails
	if r.remote.heldSize += pub.size(); r.remote.heldSize <= mostHeld {
		r.remote.held = append(r.remote.held, pub)
	}
	if !r.remote.listing { // else what is held may do
		p.queueList(r)
	}
}

// apply applies a publication to what is known of its node. It returns false if something is missing
// before it. The caller holds mu.
func (p *Roster) apply(r *Room, n *roomNode, pub *publication) bool {
	switch {
	case pub.revision <= n.revision:
		return true
	case pub.previous > n.revision:
		return false
	case pub.previous == 0 && n.revision > 0: // all that was there is gone
		for _, who := range r.people {
			p.removeCopy(r, who, n)
		}
		n.partial = false
	}
	n.revision = pub.revision
	wasPartial := n.partial
	for _, c := range pub.changes {
		p.applyEntry(r, n, c, 0)
	}
	n.partial = n.partial && !pub.ends()
	switch {
	case n.partial && !n.doubt.IsZero():
		n.doubt = time.Now() // it goes on putting
	case n.partial:
	case wasPartial && !n.doubt.IsZero():
		p.queueList(r) // of what was known before, something may be gone
	default:
		n.doubt = time.Time{} // the broker has it: that comes first
	}
	return true
}

// ends reports whether the node has put everything.
func (p *publication) ends() bool {
	for _, c := range p.changes {
		if c.Key == partialKey && c.Value == nil {
			return true
		}
	}
	return false
}

// applyEntry applies an entry of a node.
func (p *Roster) applyEntry(r *Room, n *roomNode, e Entry, generation uint64) {
	if e.Key == partialKey {
		n.partial = n.partial || e.Value != nil
		return
	}
	if e.Value == nil {
		if who := r.people[e.Key]; who != nil {
			p.removeCopy(r, who, n)
		}
		return
	}
	value, ok := decodeStamped(e.Value)
	if !ok {
		return
	}
	who := r.person(e.Key)
	p.setCopy(r, who, n, value, generation)
	if who.local != nil {
		p.adopt(who.local, value)
	}
}

// dropNode forgets a node in a room, with its people. The caller holds mu.
func (p *Roster) dropNode(r *Room, n *roomNode) {
	for _, who := range r.people {
		p.removeCopy(r, who, n)
	}
	delete(r.remote.nodes, n.peer.name)
}

// dropPeer forgets a node, with its people. The caller holds mu.
func (p *Roster) dropPeer(other *peer) {
	for _, r := range p.rooms {
		if n := r.remote.nodes[other.name]; n != nil {
			p.dropNode(r, n)
		}
	}
	delete(p.peers, other.name)
}
