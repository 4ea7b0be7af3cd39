package hub

import "slices"

// mostTail is how many messages a list may be followed by before it is made anew in any case.
const mostTail = 64

// A listState is the message with the people of a room, and what members have been told since it was
// made. A member that enters gets all of that. So the list is not made for each member.
type listState struct {
	list    Message
	tail    []Message // what members have been told after the list
	changes int       // how many changes that was
	stale   bool      // they have changed without a message for members
	making  bool      // a goroutine is making a newer list
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
	if message.encoded == nil {
		s.stale = true
		return
	}
	s.changes += changes
	if s.list.encoded != nil {
		s.tail = append(s.tail, message)
	}
}

// prepare makes the list of a room anew if a member that is about to enter would get many changes with
// it.
func (p *presence) prepare(t Topic) {
	if p == nil || t.Kind != KindRoom || p.options.List == nil {
		return
	}
	if r := p.roster.Room(t.Name); r != nil {
		toldIn(r).renewList(0)
	}
}

// renewList makes a list anew if it is followed by at least some messages and by many changes, or if
// it is stale.
func (r *presentRoom) renewList(atLeast int) {
	r.mu.Lock()
	s := &r.list
	many := s.changes > 4+r.room.Len()/16 && len(s.tail) >= atLeast
	if !r.told || s.making || !many && (!s.stale || atLeast > 0) {
		r.mu.Unlock()
		return
	}
	s.making = true
	before, changes := len(s.tail), s.changes
	people := convert[Person](r.room.Shown())
	s.stale = false
	r.mu.Unlock()
	message := r.listMessage(people)
	r.mu.Lock()
	defer r.mu.Unlock()
	tail, rest, stale := slices.Clone(s.tail[before:]), s.changes-changes, s.stale
	*s = listState{list: message, tail: tail, changes: rest, stale: stale}
}
