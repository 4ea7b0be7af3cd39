package hub

import (
	"context"
	"fmt"
	"sync"
)

// An Observer is told what happens to members and rooms on this node, in the order in which it
// happens. A nil function is not called; later versions may add functions.
//
// The functions run one after the other, on one goroutine of the hub's, soon after the event, with
// no lock held. They may call all methods of the hub, whose answers may already be those of a later
// moment. A slow function holds up the later events, and nothing else. When more than 1024 events
// wait, the Observer is not told of a member that has come and gone in the meantime, nor of such a
// room or such a stay in a room: what waits is bounded by the members and rooms that there are. A
// panic is recovered, and slog's default logger gets it. The functions must call neither
// runtime.Goexit nor [Hub.Shutdown], which waits for them.
type Observer struct {
	// Joined receives a member that has joined the hub. It is the first event of the member.
	Joined func(m *Member)

	// Left receives a member whose connection has begun to end, with the key and the rooms that
	// it had then, for which LeftRoom is not called. It is the last event of the member.
	Left func(m *Member, key string, rooms []string)

	// EnteredRoom receives a member that has entered a room, LeftRoom a member that has left a
	// room while its connection goes on.
	EnteredRoom, LeftRoom func(m *Member, room string)

	// RoomBegan receives a room that has got its first member, before EnteredRoom. RoomEnded
	// receives a room that has lost its last member, after LeftRoom or Left.
	RoomBegan, RoomEnded func(room string)
}

// maxEvents is how many events may wait before those that undo each other are left out.
const maxEvents = 1024

// events are the events of which the Observer has not been told.
type events struct {
	observer *Observer // nil: only changes of presence are recorded
	onChange func(PresenceChange)

	mu      sync.Mutex // no other mutex is locked while this one is held
	pending []*event   // in order; nil where one is left out
	leftOut int
	last    map[subject]int     // the index in pending of the last event of each subject
	changes map[personIn]*event // the last of each person in a room
	idle    chan struct{}       // closed when the Observer has been told of all events; nil: it has been
}

// A subject is a member, a room, or a member in a room. It comes and goes in turn.
type subject struct {
	member *Member
	room   string
	isRoom bool
}

type event struct {
	subject
	begins bool
	key    string   // of a member that left
	rooms  []string // likewise

	life   *event // of a member that enters a room: the event that began the room, if that is pending
	inside int    // of a room that began: how many pending events have it as their life

	change *PresenceChange // nil for other events
}

// add records an event. The caller holds the hub's mu, so that events have the order in which they
// happened.
func (s *events) add(e event) {
	if s.observer == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending)-s.leftOut >= maxEvents && s.undo(&e) {
		return
	}
	added := e // on the heap, where the parameter is not: without an Observer, nothing is allocated
	if e.begins && e.isRoom && e.member != nil {
		if began := s.pendingBegin(subject{room: e.room, isRoom: true}); began >= 0 {
			added.life = s.pending[began]
			added.life.inside++
		}
	}
	if s.last == nil {
		s.last = make(map[subject]int)
	}
	s.last[e.subject] = len(s.pending)
	s.append(&added)
}

func (s *events) append(e *event) {
	s.pending = append(s.pending, e)
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.tell(s.idle)
	}
}

// A personIn is a person in a room.
type personIn struct{ room, key string }

// addChange records a change of presence. The caller holds the mutex of the room, so that changes have the
// order in which they happened.
func (s *events) addChange(c PresenceChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subject := personIn{c.Room, c.Key}
	if e := s.changes[subject]; e != nil && len(s.pending)-s.leftOut >= maxEvents {
		e.change.merge(c)
		return
	}
	if s.changes == nil {
		s.changes = make(map[personIn]*event)
	}
	e := &event{change: &c}
	s.changes[subject] = e
	s.append(e)
}

// merge makes c what it and a later change of the same person amount to. Kind is 0 for nothing.
func (c *PresenceChange) merge(later PresenceChange) {
	kind := later.Kind
	switch {
	case c.Kind == PersonJoined && later.Kind == PersonUpdated:
		kind = PersonJoined
	case c.Kind == PersonJoined && later.Kind == PersonLeft:
		kind = 0
	case c.Kind == PersonLeft && later.Kind == PersonJoined:
		kind = PersonUpdated
	}
	*c = later
	c.Kind = kind
}

// pendingBegin returns the index of the last pending event of a subject, -1 if there is none or it
// is no beginning.
func (s *events) pendingBegin(of subject) int {
	if i, ok := s.last[of]; ok && s.pending[i].begins {
		return i
	}
	return -1
}

// undo leaves out e and what e ends, if all of that is still pending: the stay of a member, or the
// life of a room that no pending event enters. The events in between are possible without it. The
// caller holds the mutex.
func (s *events) undo(e *event) bool {
	if e.begins {
		return false
	}
	i := s.pendingBegin(e.subject)
	if i < 0 || s.pending[i].inside > 0 {
		return false
	}
	s.leaveOut(i)
	if !e.isRoom { // all that the member did since it joined
		for j, other := range s.pending[i:] {
			if other != nil && other.member == e.member {
				s.leaveOut(i + j)
			}
		}
	}
	if s.leftOut > len(s.pending)/2 {
		s.compact()
	}
	return true
}

func (s *events) leaveOut(i int) {
	e := s.pending[i]
	if e.life != nil {
		e.life.inside--
	}
	if s.last[e.subject] == i {
		delete(s.last, e.subject)
	}
	s.pending[i] = nil
	s.leftOut++
}

// compact removes what is left out from pending. The caller holds the mutex.
func (s *events) compact() {
	kept := make([]*event, 0, len(s.pending)-s.leftOut)
	clear(s.last)
	for _, e := range s.pending {
		if e != nil {
			if e.change == nil {
				s.last[e.subject] = len(kept)
			}
			kept = append(kept, e)
		}
	}
	s.pending, s.leftOut = kept, 0
}

// tell tells the Observer until nothing is pending.
func (s *events) tell(idle chan<- struct{}) {
	defer close(idle)
	for {
		s.mu.Lock()
		batch := s.pending
		s.pending, s.leftOut, s.last, s.changes = nil, 0, nil, nil
		if len(batch) == 0 {
			s.idle = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for _, e := range batch {
			switch {
			case e == nil:
			case e.change != nil:
				if err := callOnChange(s.onChange, *e.change); err != nil {
					logFailure("hub: Options.Presence.OnChange failed", err)
				}
			default:
				if err := s.observer.tell(e); err != nil {
					logFailure("hub: Options.Observer failed", err)
				}
			}
		}
	}
}

// callOnChange calls a function for a change and returns its panic.
func callOnChange(onChange func(PresenceChange), c PresenceChange) (err error) {
	defer recoverTo(&err)
	if c.Kind != 0 {
		onChange(c)
	}
	return nil
}

// tell calls the function for an event and returns its panic.
func (o *Observer) tell(e *event) (err error) {
	defer recoverTo(&err)
	switch {
	case e.member == nil:
		call(o.RoomBegan, o.RoomEnded, e.begins, func(f func(string)) { f(e.room) })
	case e.isRoom:
		call(o.EnteredRoom, o.LeftRoom, e.begins, func(f func(*Member, string)) { f(e.member, e.room) })
	case e.begins && o.Joined != nil:
		o.Joined(e.member)
	case !e.begins && o.Left != nil:
		o.Left(e.member, e.key, e.rooms)
	}
	return nil
}

// call calls one of two functions, unless that is nil.
func call[F func(string) | func(*Member, string)](begins, ends F, isBeginning bool, with func(F)) {
	f := ends
	if isBeginning {
		f = begins
	}
	if f != nil {
		with(f)
	}
}

// wait returns when the Observer has been told everything, or ctx has ended.
func (s *events) wait(ctx context.Context) error {
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hub: shutdown: Options.Observer has not returned: %w", context.Cause(ctx))
	}
}
