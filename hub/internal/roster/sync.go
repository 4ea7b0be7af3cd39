package roster

import (
	"context"
	"time"
)

// ticksOfTTL is how many times a lease is renewed in its time, if all goes well.
const ticksOfTTL = 4

// renew renews the lease, learns which nodes are gone, and has revisions compared, when it is time.
func (p *Roster) renew() (done bool, err error) {
	begun := time.Now()
	if begun.Before(p.nextTick) && !p.leaseUntil.IsZero() {
		return false, nil
	}
	p.mu.Lock()
	p.ticks++
	p.mu.Unlock()
	var lease Lease
	if err = p.limited(func(ctx context.Context) (err error) {
		lease, err = p.broker.RenewNode(ctx, p.options.Node, p.options.TTL)
		return err
	}); err != nil {
		return true, err
	}
	p.leaseUntil = begun.Add(p.options.TTL)
	p.nextTick = begun.Add(p.options.TTL / ticksOfTTL)
	p.mu.Lock()
	p.compareNodes(lease, begun)
	if p.lapsed {
		p.lapsed = false
		for _, r := range p.rooms {
			r.remote.verify = true // forgetUnput may have forgotten what it has
			p.queueList(r)
		}
	}
	if lease.New {
		for _, r := range p.rooms {
			p.putAgain(r)
		}
	}
	p.resolveDoubts(begun)
	p.toCheck = append(p.toCheck, p.roomsToCheck()...)
	p.mu.Unlock()
	p.checkAll = false
	return true, nil
}

// compareNodes drops the nodes that are gone. If the broker has dropped this node, too, the others have
// time to tell it that they live: it may have lost all that it knew. The caller holds mu.
func (p *Roster) compareNodes(lease Lease, now time.Time) {
	lives := make(map[string]bool, len(lease.Nodes))
	for _, name := range lease.Nodes {
		lives[name] = true
	}
	for name, other := range p.peers {
		switch {
		case lives[name]:
			other.lost = time.Time{}
		case other.leaves || other.heard == p.ticks: // it ends soon; it lives after all
		case other.lost.IsZero() && lease.New:
			other.lost = now
		case other.lost.IsZero() || now.Sub(other.lost) >= p.options.TTL:
			p.dropPeer(other)
		}
	}
}

// resolveDoubts lists rooms anew in which something was lost, or the broker has lacked something for
// long. The caller holds mu.
func (p *Roster) resolveDoubts(now time.Time) {
	suspects := p.suspects
	p.suspects = nil
	for _, r := range suspects {
		r.remote.isSuspect = false
		if p.rooms[r.name] != r {
			continue
		}
		for _, n := range r.remote.nodes {
			if n.wanted > n.revision || n.isOverdue(now, p.options.TTL) {
				p.queueList(r)
			} else if !n.doubt.IsZero() {
				p.suspect(r)
			}
		}
	}
}

func (n *roomNode) isOverdue(now time.Time, ttl time.Duration) bool {
	return !n.doubt.IsZero() && now.Sub(n.doubt) >= ttl
}

// roomsToCheck returns the rooms whose revisions are to be compared in this tick. In ticksOfTTL ticks,
// it is the turn of each room. After a failure, it is that of all: publications may be lost as well. The caller holds mu.
func (p *Roster) roomsToCheck() (rooms []*Room) {
	for _, r := range p.rooms {
		if (p.checkAll || r.number%ticksOfTTL == p.ticks%ticksOfTTL) && r.remote.listed {
			rooms = append(rooms, r)
		}
	}
	return rooms
}

// check compares the revisions of some of the rooms for which that is to be done.
func (p *Roster) check() (done bool, err error) {
	n := min(atOnce, len(p.toCheck))
	if n == 0 {
		p.toCheck = nil
		return false, nil
	}
	batch := p.toCheck[:n]
	revisions, err := p.revisionsOf(batch)
	if err != nil {
		p.toCheck = nil // all are checked when calls succeed again
		return true, err
	}
	p.toCheck = p.toCheck[n:]
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range batch {
		if i < len(revisions) && p.rooms[r.name] == r && r.remote.listed {
			p.compareRevisions(r, revisions[i], now)
		}
	}
	return true, nil
}

func (p *Roster) revisionsOf(rooms []*Room) (revisions []map[string]uint64, err error) {
	names := make([]string, len(rooms))
	for i, r := range rooms {
		names[i] = r.name
	}
	err = p.limited(func(ctx context.Context) (err error) {
		revisions, err = p.broker.PresenceRevisions(ctx, names)
		return err
	})
	return revisions, err
}

// compareRevisions compares what is known of a room with the broker's revisions. What was published a
// moment ago may still be on its way, so a room is listed in the next tick, if it has not come by
// then. The caller holds mu.
func (p *Roster) compareRevisions(r *Room, revisions map[string]uint64, now time.Time) {
	if !r.remote.fits(revisions[p.options.Node]) {
		p.queueList(r) // which puts what is missing
	}
	for name, revision := range revisions {
		if name == p.options.Node {
			continue
		}
		if n := p.node(r, name); revision > n.revision {
			n.wanted = max(n.wanted, revision)
			p.suspect(r)
		} else if !n.partial {
			n.doubt = time.Time{}
		}
	}
	for name, n := range r.remote.nodes {
		if _, ok := revisions[name]; !ok && n.doubt.IsZero() {
			n.doubt = now
			p.suspect(r)
		}
	}
}

// lapse takes the other nodes for gone, because this node has not reached the broker for as long as its
// own lease lasts.
func (p *Roster) lapse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lapsed = true
	for _, other := range p.peers {
		p.dropPeer(other)
	}
	for _, r := range p.rooms {
		r.remote.listed = false
		r.remote.held, r.remote.heldSize = nil, 0
	}
}

// forgetUnput forgets who has come and gone since this node lapsed: the broker has dropped the node by
// then, so there is nothing to remove.
func (p *Roster) forgetUnput() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.serving.toPut {
		kept := r.remote.toPut[:0]
		for _, who := range r.remote.toPut {
			if who.local != nil {
				kept = append(kept, who)
				continue
			}
			who.isToPut = false
			r.forget(who)
		}
		clear(r.remote.toPut[len(kept):])
		r.remote.toPut = kept
		p.settle(r)
	}
}

// list lists rooms that wait for it.
func (p *Roster) list() (done bool, err error) {
	p.mu.Lock()
	n := min(atOnce, len(p.toList))
	batch := append([]*Room(nil), p.toList[:n]...)
	p.toList = append([]*Room(nil), p.toList[n:]...)
	newest, last := uint64(0), p.followed
	for _, r := range batch {
		r.remote.isToList, r.remote.listing = false, true
		newest = max(newest, r.number)
	}
	p.mu.Unlock()
	if n == 0 {
		return false, nil
	}
	if newest > p.awaited {
		if err = p.limited(p.broker.AwaitSubscribed); err == nil {
			p.awaited = last
		}
	}
	rest := batch
	if err == nil {
		rest, err = p.listEmpty(batch)
	}
	for err == nil && len(rest) > 0 && time.Now().Before(p.nextTick) {
		if err = p.listRoom(rest[0]); err == nil {
			rest = rest[1:]
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rest {
		r.remote.listing = false
		p.queueList(r)
	}
	return true, err
}

func (p *Roster) listRoom(r *Room) error {
	var list []NodeEntries
	err := p.limited(func(ctx context.Context) (err error) {
		list, err = p.broker.ListPresence(ctx, r.name)
		return err
	})
	if err == nil {
		p.applyList(r, list)
	}
	return err
}

// listEmpty lists rooms without others with one call, if there are several. It returns those that
// remain to be listed.
func (p *Roster) listEmpty(rooms []*Room) (rest []*Room, err error) {
	if len(rooms) == 1 {
		return rooms, nil
	}
	revisions, err := p.revisionsOf(rooms)
	if err != nil {
		return rooms, err
	}
	for i, r := range rooms {
		p.mu.Lock()
		empty := i < len(revisions) && len(revisions[i]) == 0 && len(r.remote.nodes) == 0 && !r.remote.verify && r.remote.fits(0)
		p.mu.Unlock()
		if empty {
			p.applyList(r, nil)
		} else {
			rest = append(rest, r)
		}
	}
	return rest, nil
}

// applyList makes what is known of a room what the broker has, except what is newer.
func (p *Roster) applyList(r *Room, list []NodeEntries) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.remote.listing = false
	if p.rooms[r.name] != r || p.closed {
		return
	}
	r.remote.generation++
	var own NodeEntries
	replaced, present := make(map[*roomNode]bool), make(map[string]bool)
	for _, np := range list {
		if np.Node == p.options.Node {
			own = np
			continue
		}
		present[np.Node] = true
		if n := p.node(r, np.Node); p.applyNode(r, n, np) {
			replaced[n] = true
		}
	}
	p.doubtAbsent(r, present, replaced)
	for _, who := range r.people {
		for i := 0; i < len(who.copies); {
			if c := who.copies[i]; c.node != nil && replaced[c.node] && c.generation != r.remote.generation {
				p.removeCopy(r, who, c.node)
			} else {
				i++
			}
		}
		r.forget(who)
	}
	p.applyHeld(r)
	r.remote.listed = true
	if r.remote.verify || !r.remote.fits(own.Revision) {
		r.remote.verify = false
		p.repair(r, own)
	}
	p.queueTell(r)
}

// applyNode applies what a broker has of a node. It reports whether what it has not is gone.
func (p *Roster) applyNode(r *Room, n *roomNode, np NodeEntries) (replaces bool) {
	if np.Revision < n.revision || np.Revision == n.revision && n.doubt.IsZero() {
		return false
	}
	advances := np.Revision > n.revision
	n.revision, n.partial = np.Revision, false
	for _, e := range np.Entries {
		p.applyEntry(r, n, e, r.remote.generation)
	}
	if !n.partial || !advances && n.isOverdue(time.Now(), p.options.TTL) {
		n.doubt = time.Time{}
		return true
	}
	if advances || n.doubt.IsZero() {
		n.doubt = time.Now()
	}
	p.suspect(r)
	return false
}

// doubtAbsent doubts the nodes that the broker does not have in the room: it may have lost them. After
// the TTL, it adds them to those that are gone.
func (p *Roster) doubtAbsent(r *Room, present map[string]bool, gone map[*roomNode]bool) {
	now := time.Now()
	for name, n := range r.remote.nodes {
		switch {
		case present[name]:
		case n.isOverdue(now, p.options.TTL):
			gone[n] = true
			delete(r.remote.nodes, name)
		case n.doubt.IsZero():
			n.doubt = now
			p.suspect(r)
		default:
			p.suspect(r)
		}
	}
}

// applyHeld applies the publications that came while the room was not listed.
func (p *Roster) applyHeld(r *Room) {
	held := r.remote.held
	r.remote.held, r.remote.heldSize = nil, 0
	for _, pub := range held {
		if n := p.node(r, pub.node); !p.apply(r, n, pub) {
			n.wanted = max(n.wanted, pub.revision)
			p.suspect(r) // it is listed again in the next tick
		}
	}
}

// repair has what the broker lacks of this node's people put, and what it has too much removed. The
// caller holds mu, and no call of put is under way.
func (p *Roster) repair(r *Room, own NodeEntries) {
	has := make(map[string]*stamped, len(own.Entries))
	for _, e := range own.Entries {
		if value, ok := decodeStamped(e.Value); ok && e.Key != partialKey {
			has[e.Key] = value
		}
	}
	r.remote.touch = true
	p.revision = max(p.revision, own.Revision) // so that the next one is newer
	if len(has) == 0 && r.remote.revision != 0 {
		p.putAgain(r)
	}
	for key := range has {
		if who := r.person(key); who.local == nil {
			p.toPut(r, who)
		}
	}
	for key, who := range r.people {
		if who.local == nil {
			continue
		}
		if value := has[key]; value == nil || value.isBefore(who.copyOfThisNode()) {
			p.toPut(r, who)
		}
	}
	p.queuePut(r)
}
