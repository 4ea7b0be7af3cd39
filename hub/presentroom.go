package hub

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
)

// A presentRoom is what the members of a room have been told of its people.
type presentRoom struct {
	presence *presence
	room     *roster.Room

	// mu is locked after Hub.mu, and before the mutexes of a group, of the events and of the roster. It is
	// held over no call of the application or the broker.
	mu    sync.Mutex
	group *group // nil if no member of this node is in the room
	told  bool   // members have been told who is here; from then on they are told of changes
	list  listState
}

var _ roster.Owner = (*presentRoom)(nil)

func (r *presentRoom) add(ms *membership) (welcome []Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ms.group.add(ms)
	r.group = ms.group
	if r.told {
		welcome = r.list.welcome()
	}
	return welcome
}

func (r *presentRoom) setGroup(g *group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.group = g
}

// Idle ends the subscription to a room that nobody of this node is in any more. The hub's mu makes that
// one with the end of the room.
func (r *presentRoom) Idle() {
	h := r.presence.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.room.End() {
		h.unsubscribe(Room(r.room.Name()))
	}
}

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
		r.list = listState{list: message, made: time.Now()}
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

// mostTail is how many messages a list may be followed by before it is made anew in any case.
const mostTail = 64

// A list of more than fewPeople that no changes follow may be up to mostAge old: otherwise, it would be
// made for each member that enters.
const (
	fewPeople = 100
	mostAge   = time.Second
)

// A listState is the message with the people of a room, and what members have been told since it was
// made. A member that enters gets all of that. So the list is not made for each member.
type listState struct {
	list    Message
	tail    []Message // what members have been told after the list
	made    time.Time
	changes int  // how many there have been since
	stale   bool // some of them without a message for members
	making  bool // a goroutine is making a newer list
}

// welcome returns what a member gets first.
func (s *listState) welcome() []Message {
	if s.list.encoded == nil {
		return nil
	}
	return append([]Message{s.list}, s.tail...)
}

// follow adds what members have been told.
func (s *listState) follow(message Message, changes int) {
	s.changes += changes
	if message.encoded == nil {
		s.stale = true
		return
	}
	if s.list.encoded != nil {
		s.tail = append(s.tail, message)
	}
}

// renewList makes a list anew if it is followed by at least some messages and by many changes, or if
// it is stale and a member is about to enter.
func (r *presentRoom) renewList(atLeast int) {
	r.mu.Lock()
	s := &r.list
	many := s.changes > 4+r.room.Len()/16 && len(s.tail) >= atLeast
	if !r.told || s.making || !many && (!s.stale || atLeast > 0 || r.mayBeOld()) {
		r.mu.Unlock()
		return
	}
	s.making = true
	before, changes, made := len(s.tail), s.changes, time.Now()
	people := convert[Person](r.room.Shown())
	s.stale = false
	r.mu.Unlock()
	message := r.listMessage(people)
	r.mu.Lock()
	defer r.mu.Unlock()
	tail, rest, stale := slices.Clone(s.tail[before:]), s.changes-changes, s.stale
	*s = listState{list: message, tail: tail, made: made, changes: rest, stale: stale}
}

// mayBeOld reports whether a member that enters may get the list although it is stale. The caller holds
// mu.
func (r *presentRoom) mayBeOld() bool {
	return r.presence.options.Changes == nil && r.room.Len() > fewPeople && time.Since(r.list.made) < mostAge
}
