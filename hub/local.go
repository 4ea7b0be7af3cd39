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
		if t.isMember() {
			if m := h.byNumber[h.number(t)]; m != nil && !slices.Contains(s.members, m) {
				s.members = append(s.members, m)
			}
		} else if g := h.groupLocked(t.topic); g != nil && !slices.Contains(s.groups, g) {
			s.groups = append(s.groups, g)
		}
	}
	for i := range a.except.n {
		t := a.except.at(i)
		if t.isMember() {
			s.exceptNumbers = append(s.exceptNumbers, h.number(t))
		} else if g := h.groupLocked(t.topic); g != nil {
			s.exceptGroups = append(s.exceptGroups, g)
			s.exceptAll = s.exceptAll || g == h.everyone
		}
	}
	return s
}

// isMember reports whether a target names a single member.
func (t target) isMember() bool { return t.hub != nil || t.topic.Kind == kindMember }

// number returns the number of the member that a target names, 0 unless it is one of this hub.
func (h *Hub) number(t target) uint64 {
	var node string
	var number uint64
	switch {
	case t.hub != nil:
		node, number = t.hub.node, t.number
	case t.topic.Kind == kindMember:
		node, number = parseID(t.topic.Name)
	}
	if node != h.node {
		return 0
	}
	return number
}

// groupLocked returns the group of a topic, nil if it has no members. The caller holds mu.
func (h *Hub) groupLocked(t Topic) *group {
	if t.Kind == KindEveryone {
		return h.everyone
	}
	return h.groups(t.Kind)[t.Name]
}

// rlock locks mu for reading. If the audience names single members, they can be found then.
func (h *Hub) rlock(a Audience) {
	for i := range a.to.n {
		if a.to.at(i).isMember() {
			h.indexNumbers()
			break
		}
	}
	h.mu.RLock()
}

// members returns the members of an audience on this node, at one moment.
func (h *Hub) members(a Audience) []*Member {
	h.rlock(a)
	defer h.mu.RUnlock()
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
	d := h.newDelivery(message)
	t, ok := a.topic()
	if !ok {
		h.deliverUnion(a, d)
		return
	}
	if g := h.group(t); g != nil { // the common case
		for i := range a.except.n {
			d.leaveOut(h.number(a.except.at(i)))
		}
		g.publish(d)
	}
}

// topic returns the topic of an audience that consists of one topic, except any number of members.
// For other audiences it reports false.
func (a *Audience) topic() (t Topic, ok bool) {
	if a.to.n != 1 || a.to.first.isMember() {
		return Topic{}, false
	}
	for i := range a.except.n {
		if !a.except.at(i).isMember() {
			return Topic{}, false
		}
	}
	return a.to.first.topic, true
}

// joinAll puts members into rooms. It returns an error of the broker, or ErrNoHistory. Members whose
// connections end are no error.
func (h *Hub) joinAll(members []*Member, rooms []string) (err error) {
	for _, m := range members {
		joinErr := m.Join(rooms...)
		var failed *subscribeError
		switch {
		case err != nil:
		case errors.As(joinErr, &failed):
			err = failed.err
		case errors.Is(joinErr, ErrNoHistory):
			err = joinErr
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
