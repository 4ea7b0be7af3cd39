package hub

import (
	"slices"
	"strings"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
)

// Changed tells the members of the room who is there, if they have not been told, and else what has
// changed. Nobody else tells them at the same time.
func (r *presentRoom) Changed() {
	list, first := r.room.Take()
	if len(list) == 0 && !first {
		return
	}
	changes := r.changesOf(list)
	var message Message
	if first {
		people := make([]Person, len(list))
		for i := range list {
			people[i] = Person(list[i].Person)
		}
		message = r.listMessage(people)
	} else {
		message = r.changesMessage(changes)
	}
	toPass, wait := r.tell(message, list, changes, first)
	switch {
	case toPass == nil:
	case wait:
		toPass.awaitSpace()
	default:
		toPass.pass()
	}
	if !first && r.presence.options.List != nil {
		r.renewList(mostTail)
	}
}

// changesOf returns the changes among what the roster tells: not who was here before.
func (r *presentRoom) changesOf(list []roster.Change) []PresenceChange {
	changes := make([]PresenceChange, 0, len(list))
	for i := range list {
		c := PresenceChange{Room: r.room.Name(), Person: Person(list[i].Person)}
		switch list[i].Kind {
		case roster.Joined:
			c.Kind = PersonJoined
		case roster.Updated:
			c.Kind = PersonUpdated
		case roster.Left:
			c.Kind = PersonLeft
		default:
			continue
		}
		changes = append(changes, c)
	}
	return changes
}

// tell puts a message into the log of the room, at one moment with recording what it tells. It returns
// the group whose members get it, and whether a pass of the group is running.
func (r *presentRoom) tell(message Message, list []roster.Change, changes []PresenceChange, first bool) (toPass *group, running bool) {
	h := r.presence.hub
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = true
	r.room.Told(list)
	if r.presence.options.OnChange != nil {
		for _, c := range changes {
			h.events.addChange(c)
		}
	}
	if first {
		r.list = listState{list: message}
	} else {
		r.list.follow(message, len(changes))
	}
	if r.group == nil || message.encoded == nil {
		return nil, false
	}
	d := h.newDelivery(message)
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return g, !g.appendLocked(d)
}

func (r *presentRoom) changesMessage(changes []PresenceChange) (m Message) {
	p := r.presence
	if p.options.Changes == nil {
		return Message{}
	}
	p.call("Options.Presence.Changes", func() { m = p.options.Changes(r.room.Name(), changes) })
	return p.checked("Changes", m)
}

func (r *presentRoom) listMessage(people []Person) (m Message) {
	p := r.presence
	if p.options.List == nil {
		return Message{}
	}
	slices.SortFunc(people, func(a, b Person) int { return strings.Compare(a.Key, b.Key) })
	p.call("Options.Presence.List", func() { m = p.options.List(r.room.Name(), people) })
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
