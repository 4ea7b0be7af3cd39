package hub

import (
	"context"
	"slices"

	"github.com/goyave-contrib/websocket"
)

// A membership links a member to one of its groups.
type membership struct {
	member *Member
	group  *group // nil once the member has left it; guarded by the member's mutex
	slot   int32  // index in group.slots; guarded by the group's mutex
	// next is the position of the first delivery that the member has not received. The
	// member's mutex guards it. Positions wrap around: they can be compared because each
	// pass brings every member up to its end, which keeps them close together.
	next uint32
}

// A selector returns some of a member's memberships. The caller holds the member's mutex.
type selector func(m *Member) []*membership

func membershipIn(t Topic) selector {
	return func(m *Member) []*membership { return oneOrNone(m.memberships.get(t)) }
}

func keyMembership(m *Member) []*membership { return oneOrNone(m.memberships.key()) }

func allMemberships(m *Member) []*membership {
	if m.everyone.group == nil {
		return nil
	}
	return slices.AppendSeq([]*membership{&m.everyone}, m.memberships.all())
}

func noMemberships(*Member) []*membership { return nil }

func oneOrNone(ms *membership) []*membership {
	if ms == nil {
		return nil
	}
	return []*membership{ms}
}

// enter adds the member to a group and reports whether it was not in the group before. A
// new key replaces the previous one.
func (m *Member) enter(t Topic) (isNew bool, err error) {
	ms, err := m.enterHeld(t, nil)
	return ms != nil, err
}

// enterHeld is enter, but returns the new membership, nil if there is none. With a resumption, the
// member is not sent entries of the group's history until that ends.
func (m *Member) enterHeld(t Topic, r *resumption) (*membership, error) {
	keep, err := m.hub.keepIn(t)
	if err != nil {
		return nil, err
	}
	replaced := noMemberships
	if t.Kind == KindKey {
		replaced = keyMembership
	}
	m.catchUp(replaced)
	present := m.hub.presence.wants(t)
	m.hub.presence.prepare(t)
	defer m.conn.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	ms, undelivered, welcome, err := m.hub.addMember(m, t, replaced, keep, present)
	if ms == nil {
		return nil, err
	}
	if f := ms.group.follower; f != nil {
		if r != nil {
			m.holdLocked(ms, r)
		}
		f.workIfNeeded()
	}
	m.enqueueUndelivered(undelivered)
	for _, message := range welcome {
		_ = m.enqueueSlow(message.encoded, m.hub.slowOf(message)) // it counts the message if it does not fit
	}
	m.forget(replaced(m))
	if t.Kind != KindEveryone {
		m.memberships.add(ms)
	}
	return ms, nil
}

// exit removes the member from the selected groups. When it returns, the messages that were
// sent to these groups before are in the member's queue.
func (m *Member) exit(selected selector) {
	m.endResumptions(selected)
	m.catchUp(selected)
	defer m.conn.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	list := selected(m)
	if !m.left {
		m.enqueueUndelivered(m.hub.removeMember(m, list))
	}
	m.unhold(list)
	m.forget(list)
}

// forget deletes memberships from the member. The caller holds the member's mutex.
func (m *Member) forget(list []*membership) {
	for _, ms := range list {
		t := ms.group.topic
		m.memberships.remove(t)
		ms.group = nil
		if t.Kind == KindKey {
			m.hub.claims.Forget(m, t.Name)
		}
	}
}

// leave removes the member from all groups for good. When it returns, the messages that were
// sent to these groups before are in the member's queue. The member keeps its list of
// memberships, so that Rooms and Key still return what it had.
func (m *Member) leave() {
	m.catchUp(allMemberships)
	defer m.conn.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return
	}
	m.left = true
	list := allMemberships(m)
	m.enqueueUndelivered(m.hub.removeMember(m, list))
	m.unhold(list)
}

// leaveBeforeClose makes the member leave when its connection begins to end. If the
// connection has begun to end already, the member leaves now, and the error says why it
// can't be a member.
func (m *Member) leaveBeforeClose() error {
	if m.conn.BeforeClose(m.leave) {
		return nil
	}
	m.leave()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hub.mu.RLock()
	defer m.hub.mu.RUnlock()
	return m.hub.entryError(m)
}

// sendError returns why nothing can be sent to the member any more, or nil. Messages can be
// sent to a member that has left because its Serve has returned, until the close frame.
func (m *Member) sendError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sendErrorLocked()
}

func (m *Member) sendErrorLocked() error {
	switch ctx := m.conn.Context(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case m.disconnecting:
		return websocket.ErrQueueFull
	case m.sendingEnded:
		return websocket.ErrCloseSent // or is about to be
	default:
		return nil
	}
}

// entryError returns why the member can't enter a group any more, or nil. It checks for the
// hub's shutdown first: the shutdown closes the connections, and Join promises ErrShutdown
// then. The caller holds the member's mutex and mu.
func (h *Hub) entryError(m *Member) error {
	if h.closed {
		return websocket.ErrShutdown
	}
	if err := m.sendErrorLocked(); err != nil || !m.left {
		return err
	}
	return websocket.ErrCloseSent // a member that has left is about to get its close frame
}

// addMember adds a member to the group of a topic, which it creates if necessary, and
// removes the member from the groups of the replaced memberships. It returns the new
// membership, nil if the member is in the group already, the messages that the member has not received
// from the replaced ones, and those that tell it who is present. The caller holds the member's mutex.
func (h *Hub) addMember(m *Member, t Topic, replaced selector, keep Keep, present bool) (ms *membership, undelivered leftovers, welcome []Message, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.entryError(m); err != nil || m.memberships.get(t) != nil {
		return nil, nil, nil, err
	}
	g := h.groupLocked(t)
	if g.len() == 0 && !h.presence.follows(t) {
		if err := h.subscribe(h.subscription(t)); err != nil {
			return nil, nil, nil, err
		}
	}
	if g == nil {
		g = newGroup(h, t)
		if keep.Messages > 0 {
			g.follower = newFollower(h.history, g, keep)
		}
		h.groups(t.Kind)[t.Name] = g
		if t.Kind == KindRoom {
			h.events.add(event{subject: subject{room: t.Name, isRoom: true}, begins: true})
		}
	}
	ms = &m.everyone
	if t.Kind != KindEveryone {
		ms = new(membership)
	}
	*ms = membership{member: m, group: g}
	undelivered = h.removeMemberLocked(replaced(m))
	if h.presence == nil {
		g.add(ms)
	} else {
		welcome = h.presence.add(ms, present)
	}
	switch t.Kind {
	case KindEveryone:
		h.index(m)
		h.events.add(event{subject: subject{member: m}, begins: true})
	case KindRoom:
		h.events.add(event{subject: subject{member: m, room: t.Name, isRoom: true}, begins: true})
	}
	return ms, undelivered, welcome, nil
}

// subscription returns the topic that brings what is published to the members of a group. What is
// published to everyone comes in any case; the first member subscribes the node instead.
func (h *Hub) subscription(t Topic) Topic {
	if t.Kind == KindEveryone {
		return Topic{KindNode, h.node}
	}
	return t
}

// removeMember removes a member from the groups of the given memberships and returns the
// messages that it has not received from them. Groups that become empty are deleted. The
// caller holds the member's mutex.
func (h *Hub) removeMember(m *Member, list []*membership) (undelivered leftovers) {
	h.mu.Lock()
	defer h.mu.Unlock()
	undelivered = h.removeMemberLocked(list)
	if h.presence != nil {
		h.presence.leaving(m, list)
	}
	return undelivered
}

// addLeaving records that a member leaves a group, which may be empty then. The member leaves all
// groups of the list. The group everyone, if it is among them, is the first. The caller holds mu.
func (h *Hub) addLeaving(ms *membership, list []*membership, empty bool) {
	topic := ms.group.topic
	switch {
	case topic.Kind == KindEveryone:
		e := event{subject: subject{member: ms.member}}
		for _, other := range list {
			switch t := other.group.topic; t.Kind {
			case KindRoom:
				e.rooms = append(e.rooms, t.Name)
			case KindKey:
				e.key = t.Name
			}
		}
		slices.Sort(e.rooms)
		h.events.add(e)
	case topic.Kind == KindRoom && list[0].group != h.everyone:
		h.events.add(event{subject: subject{member: ms.member, room: topic.Name, isRoom: true}})
	}
	if topic.Kind == KindRoom && empty {
		h.events.add(event{subject: subject{room: topic.Name, isRoom: true}})
	}
}

func (h *Hub) removeMemberLocked(list []*membership) (undelivered leftovers) {
	for _, ms := range list {
		g := ms.group
		p, empty := g.remove(ms)
		if p != nil {
			if undelivered == nil {
				undelivered = make(leftovers)
			}
			undelivered[ms] = p
		}
		if g == h.everyone {
			h.unindex(ms.member)
		} else if empty {
			delete(h.groups(g.topic.Kind), g.topic.Name)
			if g.follower != nil {
				g.follower.end()
			}
		}
		if empty && !h.presence.follows(g.topic) {
			h.unsubscribe(h.subscription(g.topic))
		}
		if h.events.observer != nil {
			h.addLeaving(ms, list, empty)
		}
	}
	return undelivered
}
