package hub

import "time"

// A localPerson is a key with members on this node, or with people of this node in rooms.
type localPerson struct {
	key     string
	members int
	value   *stamped
	persons []*person // those with a copy of this node
	rooms   []*presentRoom
	toSend  bool // it is in serving.toSend
}

// leaving records that a member leaves groups, which are all of its groups if its connection ends.
// The caller holds the hub's mu and the member's mutex, and has removed the memberships from the
// groups.
func (p *presence) leaving(m *Member, list []*membership) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := len(list) > 0 && list[0] == &m.everyone
	key := ""
	if ms := m.memberships.key(); ms != nil {
		key = ms.group.topic.Name
	}
	for _, ms := range list {
		switch t := ms.group.topic; {
		case t.Kind == KindRoom:
			r := p.rooms[t.Name]
			if r == nil {
				continue
			}
			if r.group != nil && p.hub.rooms[t.Name] == nil {
				r.group = nil
			}
			if key != "" {
				p.leave(r, key, ends)
			}
			p.settle(r)
		case t.Kind == KindKey && !ends: // the member has no key any more
			p.swapKey(m, key, "")
		}
	}
	if ends && key != "" {
		p.removeKey(key)
	}
}

// swapKey gives a member another key; each may be empty. The caller holds mu, and the member's mutex.
func (p *presence) swapKey(m *Member, from, to string) {
	if p.disabled {
		return
	}
	if to != "" {
		lp := p.localPerson(to)
		lp.members++
		if lp.members == 1 {
			p.queueSend(lp) // the other nodes may know a value of the person
		}
	}
	for ms := range m.memberships.all() {
		r := p.rooms[ms.group.topic.Name]
		if ms.group.topic.Kind != KindRoom || r == nil {
			continue
		}
		if to != "" {
			p.join(r, to)
		}
		if from != "" {
			p.leave(r, from, false)
		}
	}
	if from != "" {
		p.removeKey(from)
	}
}

// localPerson returns what this node knows of a key, which it makes if necessary.
func (p *presence) localPerson(key string) *localPerson {
	lp := p.persons[key]
	if lp == nil {
		lp = &localPerson{key: key, value: unset}
		p.persons[key] = lp
	}
	return lp
}

func (p *presence) removeKey(key string) {
	if lp := p.persons[key]; lp != nil {
		lp.members--
		p.forgetKey(lp)
	}
}

func (p *presence) forgetKey(lp *localPerson) {
	if lp.members <= 0 && len(lp.persons) == 0 && p.persons[lp.key] == lp {
		delete(p.persons, lp.key)
	}
}

// join records that a member of this node with a key is in a room.
func (p *presence) join(r *presentRoom, key string) {
	who := r.person(key)
	who.members++
	who.until = time.Time{}
	if who.local != nil {
		return
	}
	lp := p.localPerson(key)
	who.local, who.index = lp, len(lp.persons)
	lp.persons, lp.rooms = append(lp.persons, who), append(lp.rooms, r)
	r.locals++
	value := lp.value
	for i := range who.copies {
		value = newest(value, who.copies[i].value)
	}
	p.setCopy(r, who, nil, value, 0)
	p.toPut(r, who)
	if lp.value.isBefore(value) {
		p.adopt(lp, value)
	}
}

// leave records that a member with a key has left a room. If the person has no other member here, it
// may come back for a while if the member's connection has ended.
func (p *presence) leave(r *presentRoom, key string, mayComeBack bool) {
	who := r.people[key]
	if who == nil || who.members == 0 {
		return
	}
	who.members--
	switch {
	case who.members > 0:
	case mayComeBack && p.options.Grace > 0 && !p.closed:
		who.until = time.Now().Add(p.options.Grace)
		p.addGrace(graceItem{at: who.until, room: r, person: who})
	default:
		p.removeLocal(r, who)
	}
}

// removeLocal removes the copy of this node.
func (p *presence) removeLocal(r *presentRoom, who *person) {
	lp := who.local
	last := len(lp.persons) - 1
	lp.persons[who.index], lp.rooms[who.index] = lp.persons[last], lp.rooms[last]
	lp.persons[who.index].index = who.index
	lp.persons[last], lp.rooms[last] = nil, nil
	lp.persons, lp.rooms = lp.persons[:last], lp.rooms[:last]
	who.local = nil
	r.locals--
	p.removeCopy(r, who, nil)
	p.toPut(r, who)
	p.forgetKey(lp)
}

// adopt gives a person of this node a newer value, in all rooms.
func (p *presence) adopt(lp *localPerson, value *stamped) {
	p.clock = max(p.clock, value.time)
	if !lp.value.isBefore(value) {
		return
	}
	lp.value = value
	for i, who := range lp.persons {
		r := lp.rooms[i]
		if who.copyOfThisNode().isBefore(value) {
			p.setCopy(r, who, nil, value, 0)
			p.toPut(r, who)
		}
	}
}
