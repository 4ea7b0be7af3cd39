package hub

import (
	"context"
	"slices"

	"github.com/goyave-contrib/websocket"
)

// A membership is a member's place in a group.
type membership struct {
	member *Member
	group  *group // nil when the member has left it; guarded by the member's mutex
	slot   int32  // guarded by the group's mutex
	// seen is the position of the first delivery that is still to come to the member.
	// It is guarded by the member's mutex. Positions wrap around; those that are compared
	// lie close together, because each round brings all members up to its end.
	seen uint32
}

// These find a member's places. Its mutex is held.
type finder func(m *Member) []*membership

func inGroup(t Topic) finder {
	return func(m *Member) []*membership { return some(m.places.get(t)) }
}

func ofKey(m *Member) []*membership { return some(m.places.key()) }

func everywhere(m *Member) []*membership {
	if m.home.group == nil {
		return nil
	}
	return slices.AppendSeq([]*membership{&m.home}, m.places.all())
}

func nowhere(*Member) []*membership { return nil }

func some(place *membership) []*membership {
	if place == nil {
		return nil
	}
	return []*membership{place}
}

// enter adds a member to a group and reports whether it was not in it already. A new key
// takes the place of the one before.
func (m *Member) enter(t Topic) (isNew bool, err error) {
	before := nowhere
	if t.Kind == Key {
		before = ofKey
	}
	m.catchUp(before)
	defer m.conn.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	place, rests, err := m.hub.take(m, t, before)
	if place == nil {
		return false, err
	}
	m.forget(before(m))
	m.enqueueRests(rests)
	if t.Kind != Everyone {
		m.places.add(place)
	}
	return true, nil
}

// exit has a member leave places. What was sent there before is queued for it when the
// call returns.
func (m *Member) exit(find finder) {
	m.catchUp(find)
	defer m.conn.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	places := find(m)
	if !m.left {
		m.enqueueRests(m.hub.giveUp(places))
	}
	m.forget(places)
}

// forget has a member be in places no more. The mutex is held.
func (m *Member) forget(places []*membership) {
	for _, place := range places {
		m.places.remove(place.group.topic)
		place.group = nil
	}
}

// leave has the member leave everything, for good. What was sent before is queued for it
// when the call returns. To its own methods, it keeps what it had.
func (m *Member) leave() {
	m.catchUp(everywhere)
	defer m.conn.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return
	}
	m.left = true
	m.enqueueRests(m.hub.giveUp(everywhere(m)))
}

// leaveBeforeClose has the member leave when its connection begins to end. If it has
// begun already, the member leaves now, and the error says why it can be none.
func (m *Member) leaveBeforeClose() error {
	if m.conn.BeforeClose(m.leave) {
		return nil
	}
	m.leave()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hub.mu.RLock()
	defer m.hub.mu.RUnlock()
	return m.hub.barred(m)
}

// gone returns why nothing can be sent to the member any more, nil as long as something
// may: where it has left because its Serve has returned, up to the close frame.
func (m *Member) gone() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.goneLocked()
}

func (m *Member) goneLocked() error {
	switch ctx := m.conn.Context(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case m.slow:
		return websocket.ErrQueueFull
	default:
		return nil
	}
}

// ended returns why the member can enter nothing any more, nil if it can. The mutex is
// held.
func (m *Member) ended() error {
	if err := m.goneLocked(); err != nil || !m.left {
		return err
	}
	return websocket.ErrCloseSent // it is as good as that
}

// barred returns why a member can enter no group of the hub any more, nil if it can. The
// hub's shutdown comes first: it is why the hub closes connections, and ErrShutdown is what
// it promises then. The member's mutex and mu are held.
func (h *Hub) barred(m *Member) error {
	if h.closed {
		return websocket.ErrShutdown
	}
	return m.ended()
}

// take adds a member, whose mutex is held, to a group, which is made if there is none, in
// place of others, and returns what is left for it there. The place is nil if it has one
// already.
func (h *Hub) take(m *Member, t Topic, before finder) (place *membership, rests []*round, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.barred(m); err != nil || m.places.get(t) != nil {
		return nil, nil, err
	}
	g := h.everyone
	if t.Kind != Everyone {
		g = h.groups(t.Kind)[t.Name]
	}
	if g == nil {
		if err := h.subscribe(t); err != nil {
			return nil, nil, err
		}
		g = newGroup(h, t)
		h.groups(t.Kind)[t.Name] = g
	}
	place = &m.home
	if t.Kind != Everyone {
		place = new(membership)
	}
	*place = membership{member: m, group: g}
	rests = h.giveUpLocked(before(m))
	g.add(place)
	return place, rests, nil
}

// giveUp takes a member, whose mutex is held, out of groups and returns what is left for
// it there. A group in which it was the last one is forgotten.
func (h *Hub) giveUp(places []*membership) (rests []*round) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.giveUpLocked(places)
}

func (h *Hub) giveUpLocked(places []*membership) (rests []*round) {
	for _, place := range places {
		g := place.group
		rest, empty := g.remove(place)
		if rest != nil {
			rests = append(rests, rest)
		}
		if empty && g != h.everyone {
			delete(h.groups(g.topic.Kind), g.topic.Name)
			h.unsubscribe(g.topic)
		}
	}
	return rests
}
