package hub

import (
	"slices"
	"strings"
)

// queueTell has a goroutine tell what has happened in a room. The caller holds mu.
func (p *presence) queueTell(r *presentRoom) {
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

// tell tells until there is nothing to tell.
func (p *presence) tell() {
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
			p.tellRoom(r)
		}
	}
}

// A telling is what members are about to be told of a person.
type telling struct {
	who    *person
	value  *stamped // nil: the person is not present
	change PresenceChange
}

// tellRoom tells the members of a room who is there, if they have not been told, and else what has
// changed. Nobody else tells them at the same time.
func (p *presence) tellRoom(r *presentRoom) {
	p.mu.Lock()
	r.telling = false
	first := !r.told
	changes := r.take(first)
	p.mu.Unlock()
	if len(changes) == 0 && !first {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.settle(r)
		return
	}
	var message Message
	if first {
		message = p.listMessage(r, changes)
	} else {
		message = p.changesMessage(r, changes)
	}
	toPass, wait := p.tellMessage(r, message, changes, first)
	switch {
	case toPass == nil:
	case wait:
		toPass.awaitSpace()
	default:
		toPass.pass()
	}
	if !first && p.options.List != nil {
		p.renewList(r, mostTail)
	}
}

// tellMessage puts a message into the log of the room, at one moment with recording what it tells. It
// returns the group whose members get it, and whether a pass of the group is running.
func (p *presence) tellMessage(r *presentRoom, message Message, changes []telling, first bool) (toPass *group, running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.told = true
	for i := range changes {
		c := &changes[i]
		c.who.shown = c.value
		r.forget(c.who)
		if c.change.Kind != 0 && p.options.OnChange != nil {
			p.hub.events.addChange(c.change)
		}
	}
	if first {
		r.list = listState{list: message}
	} else {
		r.list.follow(message, len(changes))
	}
	if len(r.changed) > 0 {
		p.queueTell(r)
	}
	p.settle(r)
	if r.group == nil || message.encoded == nil {
		return nil, false
	}
	d := p.hub.newDelivery(message)
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return g, !g.appendLocked(d)
}

// take returns what members must be told: the changes, or all people if they have been told nothing.
// Of these, only those are changes that are in the room because of this node. The caller holds mu.
func (r *presentRoom) take(all bool) (list []telling) {
	changed := r.changed
	r.changed = nil
	for _, who := range changed {
		who.isChanged = false
	}
	if all {
		for _, who := range r.people {
			if value := who.value(); value != nil {
				t := telling{who: who, value: value, change: PresenceChange{Room: r.name, Person: Person{who.key, value.value}}}
				if who.local != nil && len(who.copies) == 1 {
					t.change.Kind = PersonJoined
				}
				list = append(list, t)
			} else {
				r.forget(who)
			}
		}
		return list
	}
	for _, who := range changed {
		value, kind := who.value(), PresenceKind(0)
		switch {
		case value == nil && who.shown == nil:
			r.forget(who)
		case value == nil:
			kind = PersonLeft
		case who.shown == nil:
			kind = PersonJoined
		case !sameValue(who.shown, value):
			kind = PersonUpdated
		default:
			who.shown = value
		}
		if kind == 0 {
			continue
		}
		shown := value
		if kind == PersonLeft {
			shown = who.shown
		}
		list = append(list, telling{who, value, PresenceChange{r.name, kind, Person{who.key, shown.value}}})
	}
	return list
}

func (p *presence) changesMessage(r *presentRoom, list []telling) (m Message) {
	if p.options.Changes == nil {
		return Message{}
	}
	changes := make([]PresenceChange, len(list))
	for i := range list {
		changes[i] = list[i].change
	}
	p.call("Options.Presence.Changes", func() { m = p.options.Changes(r.name, changes) })
	return p.checked("Changes", m)
}

func (p *presence) listMessage(r *presentRoom, list []telling) Message {
	if p.options.List == nil {
		return Message{}
	}
	people := make([]Person, len(list))
	for i := range list {
		people[i] = list[i].change.Person
	}
	return p.listOf(r, people)
}

func (p *presence) listOf(r *presentRoom, people []Person) (m Message) {
	slices.SortFunc(people, func(a, b Person) int { return strings.Compare(a.Key, b.Key) })
	p.call("Options.Presence.List", func() { m = p.options.List(r.name, people) })
	return p.checked("List", m)
}

// checked returns a message that can be sent, or the zero Message. It logs why a message can't be sent.
func (p *presence) checked(name string, m Message) Message {
	if m.encoded == nil && m.err == nil {
		return Message{}
	}
	if err := p.hub.check(m); err != nil {
		logFailure("hub: the message of Options.Presence."+name+" can't be sent", err)
		return Message{}
	}
	return m
}
