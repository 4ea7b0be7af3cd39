package roster

import "bytes"

// A Change says what has become of a person in a room.
type Change struct {
	Kind ChangeKind
	Person

	who   *person
	value *stamped // nil: the person is not present
}

// A ChangeKind is the kind of a [Change].
type ChangeKind int

// The kinds of changes.
const (
	Here    ChangeKind = iota // the person was in the room when this node learned its people
	Joined                    // the person was not here before
	Updated                   // the person has a new value
	Left                      // the person is not here any more, with its last value
)

// queueTell has the owner of a room told that there is something to take. The caller holds mu.
func (p *Roster) queueTell(r *Room) {
	if r.telling || !r.remote.listed && !r.told || p.closed {
		return
	}
	r.telling = true
	p.toTell = append(p.toTell, r)
	if !p.telling {
		p.telling = true
		p.work.Go(p.tell)
	}
}

// tell calls owners until there is nothing to tell.
func (p *Roster) tell() {
	for {
		p.mu.Lock()
		batch := p.toTell
		p.toTell = nil
		if len(batch) == 0 || p.closed {
			p.telling = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		for _, r := range batch {
			p.guard(r.owner.Changed)
		}
	}
}

// Take returns what has become of people since the last call, or first all who are here. Of these, only
// those have Joined who are here because of this node. The owner calls Told when it has told them, which
// is also necessary if there is nobody at first. Only [Owner.Changed] may call Take.
func (r *Room) Take() (changes []Change, first bool) {
	p := r.roster
	p.mu.Lock()
	defer p.mu.Unlock()
	r.telling = false
	changed := r.changed
	r.changed = nil
	for _, who := range changed {
		who.isChanged = false
	}
	if !r.told {
		return r.takeAll(), true
	}
	for _, who := range changed {
		if c := who.take(); c.Kind != Here {
			changes = append(changes, c)
		} else {
			r.forget(who)
		}
	}
	if len(changes) == 0 {
		p.settle(r)
	}
	return changes, false
}

func (r *Room) takeAll() (all []Change) {
	for _, who := range r.people {
		value := who.value()
		if value == nil {
			r.forget(who)
			continue
		}
		c := Change{Person: Person{who.key, value.value}, who: who, value: value}
		if who.local != nil && len(who.copies) == 1 {
			c.Kind = Joined
		}
		all = append(all, c)
	}
	return all
}

// take returns what has become of a person since the owner was told of it last. The kind is Here if that
// is nothing.
func (who *person) take() Change {
	value := who.value()
	c := Change{who: who, value: value}
	switch {
	case value == nil && who.shown == nil:
		return c
	case value == nil:
		c.Kind = Left
		c.Person = Person{who.key, who.shown.value}
		return c
	case who.shown == nil:
		c.Kind = Joined
	case !bytes.Equal(who.shown.value, value.value):
		c.Kind = Updated
	default:
		who.shown = value
	}
	c.Person = Person{who.key, value.value}
	return c
}

// Told records that the owner has told what Take returned. From then on, [Room.Shown] returns it.
func (r *Room) Told(changes []Change) {
	p := r.roster
	p.mu.Lock()
	defer p.mu.Unlock()
	r.told = true
	for i := range changes {
		c := &changes[i]
		c.who.shown = c.value
		r.forget(c.who)
	}
	if len(r.changed) > 0 {
		p.queueTell(r)
	}
	p.settle(r)
}

// Shown returns the people who are here, as far as the owner has told of it, in any order.
func (r *Room) Shown() []Person {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	people := make([]Person, 0, r.present)
	for _, who := range r.people {
		if who.shown != nil {
			people = append(people, Person{who.key, who.shown.value})
		}
	}
	return people
}

// Len returns how many people are in the room.
func (r *Room) Len() int {
	r.roster.mu.Lock()
	defer r.roster.mu.Unlock()
	return r.present
}
