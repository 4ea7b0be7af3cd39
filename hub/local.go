package hub

import (
	"errors"
	"slices"
)

// A selection is what an audience stands for on this node: groups, and members that are named
// themselves. Rooms and keys without members here have no group.
type selection struct {
	groups  []*group
	members []*Member

	exceptGroups  []*group
	exceptNumbers []uint64 // of members
	exceptAll     bool
}

// selectLocked finds the groups and members of an audience on this node. The caller holds mu.
func (h *Hub) selectLocked(a Audience) (s selection) {
	for i := range a.to.n {
		t := a.to.at(i)
		if m, ok := h.memberLocked(t); ok {
			if m != nil && !slices.Contains(s.members, m) {
				s.members = append(s.members, m)
			}
		} else if g := h.groupLocked(t.topic); g != nil && !slices.Contains(s.groups, g) {
			s.groups = append(s.groups, g)
		}
	}
	for i := range a.except.n {
		t := a.except.at(i)
		if m, ok := h.memberLocked(t); ok {
			if m != nil {
				s.exceptNumbers = append(s.exceptNumbers, m.number)
			}
		} else if g := h.groupLocked(t.topic); g != nil {
			s.exceptGroups = append(s.exceptGroups, g)
			s.exceptAll = s.exceptAll || g == h.everyone
		}
	}
	return s
}

// memberLocked returns the member of this hub that a target names, nil if there is none. It reports
// whether the target names a single member at all. The caller holds mu.
func (h *Hub) memberLocked(t target) (m *Member, single bool) {
	switch {
	case t.member != nil && t.member.hub == h:
		return t.member, true
	case t.member != nil:
		return nil, true
	case t.topic.Kind == kindMember:
		node, number := parseID(t.topic.Name)
		if node != h.node {
			return nil, true
		}
		return h.byNumber[number], true
	default:
		return nil, false
	}
}

// groupLocked returns the group of a topic, nil if it has no members. The caller holds mu.
func (h *Hub) groupLocked(t Topic) *group {
	if t.Kind == KindEveryone {
		return h.everyone
	}
	return h.groups(t.Kind)[t.Name]
}

// lock locks mu for reading. The index of IDs is there then, if the audience has any.
func (h *Hub) lock(a Audience) (unlock func()) {
	if a.to.anyID() || a.except.anyID() {
		h.indexNumbers()
	}
	h.mu.RLock()
	return h.mu.RUnlock
}

func (s *targets) anyID() bool {
	for i := range s.n {
		if s.at(i).topic.Kind == kindMember {
			return true
		}
	}
	return false
}

// members returns the members of an audience on this node, at one moment.
func (h *Hub) members(a Audience) []*Member {
	defer h.lock(a)()
	s := h.selectLocked(a)
	if s.exceptAll {
		return nil
	}
	out := make(map[*Member]bool)
	for _, g := range s.exceptGroups {
		for _, m := range g.all() {
			out[m] = true
		}
	}
	var members []*Member
	add := func(list []*Member) {
		for _, m := range list {
			if !out[m] && !slices.Contains(s.exceptNumbers, m.number) {
				out[m] = true // each member once
				members = append(members, m)
			}
		}
	}
	for _, g := range s.groups {
		add(g.all())
	}
	add(s.members)
	return members
}

// deliver sends a message to the members of an audience on this node.
func (h *Hub) deliver(a Audience, message Message) {
	d := delivery{message: message.encoded}
	if t, ok := a.room(h, &d); ok { // the common case
		if g := h.group(t); g != nil {
			g.publish(d)
		}
		return
	}
	h.deliverUnion(a, d)
}

// room returns the topic of an audience that consists of one topic, except any number of members
// of this hub, which it adds to the delivery. Otherwise it reports false.
func (a *Audience) room(h *Hub, d *delivery) (t Topic, ok bool) {
	if a.to.n != 1 || a.to.first.member != nil || a.to.first.topic.Kind == kindMember {
		return Topic{}, false
	}
	for i := range a.except.n {
		t := a.except.at(i)
		switch {
		case t.member == nil:
			return Topic{}, false
		case t.member.hub == h:
			d.leaveOut(t.member.number)
		}
	}
	return a.to.first.topic, true
}

// joinAll puts members into rooms. It returns an error of the broker. Members whose connections
// end are no error.
func (h *Hub) joinAll(members []*Member, rooms []string) (err error) {
	for _, m := range members {
		joinErr := m.Join(rooms...)
		var failed *subscribeError
		if errors.As(joinErr, &failed) && err == nil {
			err = failed.err
		}
	}
	return err
}

// disconnect closes the connections of members. It returns when they have left.
func (h *Hub) disconnect(members []*Member, code int, reason string) {
	var leaving []<-chan struct{}
	for _, m := range members {
		if left := h.close(m, code, reason); left != nil {
			leaving = append(leaving, left)
		}
	}
	for _, left := range leaving {
		<-left
	}
}
