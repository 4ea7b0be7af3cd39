package roster

import "time"

// A localPerson is a key with members on this node, or with people of this node in rooms.
type localPerson struct {
	key     string
	members int
	value   *stamped
	persons []*person // those with a copy of this node
	rooms   []*Room
	toSend  bool // it is in serving.toSend
}

// MoveKey gives a member of this node that is in some rooms another key, each of which may be empty: for
// none. With no rooms, a member that had a key has gone, or one has got its first.
func (p *Roster) MoveKey(rooms []string, from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
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
	for _, name := range rooms {
		r := p.rooms[name]
		if r == nil {
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

// Join records that a member of this node has entered the room, after [Roster.Enter]. Its key is empty
// for none.
func (r *Room) Join(key string) {
	p := r.roster
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disabled {
		return
	}
	if !r.begun {
		r.begin()
	}
	if key != "" {
		p.join(r, key)
	}
}

// Leave records that a member with a key has left the room. If the person has no other member here, it
// stays for Options.Grace if it may come back: if the member's connection has ended.
func (r *Room) Leave(key string, mayComeBack bool) {
	p := r.roster
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disabled {
		return
	}
	p.leave(r, key, mayComeBack)
	p.settle(r)
}

// localPerson returns what this node knows of a key, which it makes if necessary.
func (p *Roster) localPerson(key string) *localPerson {
	lp := p.persons[key]
	if lp == nil {
		lp = &localPerson{key: key, value: unset}
		p.persons[key] = lp
	}
	return lp
}

func (p *Roster) removeKey(key string) {
	if lp := p.persons[key]; lp != nil {
		lp.members--
		p.forgetKey(lp)
	}
}

func (p *Roster) forgetKey(lp *localPerson) {
	if lp.members <= 0 && len(lp.persons) == 0 && p.persons[lp.key] == lp {
		delete(p.persons, lp.key)
	}
}

// join records that a member of this node with a key is in a room.
func (p *Roster) join(r *Room, key string) {
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

func (p *Roster) leave(r *Room, key string, mayComeBack bool) {
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
func (p *Roster) removeLocal(r *Room, who *person) {
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
func (p *Roster) adopt(lp *localPerson, value *stamped) {
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
