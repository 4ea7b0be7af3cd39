package hub

// A union belongs to a delivery that is in the logs of several groups: the groups that it is for, and
// the groups that it leaves out. The delivery was appended to all of these logs at one moment.
//
// A member that is in several of the groups has reached the delivery in all of them at once, after
// everything that was before it in any of them: so each member receives it at most once, and at the
// right place in the order of each group.
type union struct {
	parts []part
	index map[*group]int // the indexes in parts; nil if there are few

	// direct are the members that are named themselves. They receive the message without any
	// group, unless they have reached the delivery in a group before.
	direct map[*Member]*bool // whether it has reached the delivery; guarded by the member's mutex
}

// A part is the place of a union in one group.
type part struct {
	group    *group
	position uint32
	excluded bool // the members of the group are left out
}

// fewParts is the largest number of parts that have no index.
const fewParts = 8

func newUnion(s selection) *union {
	u := &union{parts: make([]part, 0, len(s.groups)+len(s.exceptGroups))}
	for _, g := range s.exceptGroups {
		u.add(g, true)
	}
	for _, g := range s.groups {
		u.add(g, false)
	}
	if len(s.members) > 0 {
		u.direct = make(map[*Member]*bool, len(s.members))
		for _, m := range s.members {
			u.direct[m] = new(bool)
		}
	}
	return u
}

// add adds a group, unless it is there already.
func (u *union) add(g *group, excluded bool) {
	if u.part(g) != nil {
		return
	}
	u.parts = append(u.parts, part{group: g, excluded: excluded})
	if len(u.parts) <= fewParts {
		return
	}
	if u.index == nil {
		u.index = make(map[*group]int, cap(u.parts))
		for i := range u.parts {
			u.index[u.parts[i].group] = i
		}
	}
	u.index[g] = len(u.parts) - 1
}

// part returns the part of a group, nil if the group has none.
func (u *union) part(g *group) *part {
	if u.index != nil {
		if i, ok := u.index[g]; ok {
			return &u.parts[i]
		}
		return nil
	}
	for i := range u.parts {
		if u.parts[i].group == g {
			return &u.parts[i]
		}
	}
	return nil
}

// publish appends the delivery to all groups at one moment. It returns the groups that the caller
// must pass. The caller holds unionMu: no other code locks several groups.
func (u *union) publish(d delivery) (toPass []*group) {
	for i := range u.parts {
		p := &u.parts[i]
		p.group.mu.Lock()
		p.position = p.group.logEnd()
	}
	toPass = make([]*group, 0, len(u.parts))
	for i := range u.parts {
		if g := u.parts[i].group; g.appendLocked(d) {
			toPass = append(toPass, g)
		}
	}
	for i := range u.parts {
		u.parts[i].group.mu.Unlock()
	}
	return toPass
}

// deliverUnion sends a message to an audience that may be more than the members of one group.
func (h *Hub) deliverUnion(a Audience, d delivery) {
	h.rlock(a)
	h.deliverSelection(h.selectLocked(a), d)
}

// deliverSelection is deliverUnion for what an audience stands for. The caller holds mu for reading;
// deliverSelection unlocks it.
func (h *Hub) deliverSelection(s selection, d delivery) {
	if s.exceptAll {
		h.mu.RUnlock()
		return
	}
	for _, number := range s.exceptNumbers {
		d.leaveOut(number)
	}
	if len(s.groups) == 1 && len(s.members)+len(s.exceptGroups) == 0 {
		h.mu.RUnlock()
		s.groups[0].publish(d)
		return
	}
	u := newUnion(s)
	d.details().union = u
	h.unionMu.Lock()
	toPass := u.publish(d)
	h.unionMu.Unlock()
	h.mu.RUnlock() // until now, no member has entered a group or left it
	for _, g := range toPass {
		g.pass()
	}
	for _, m := range s.members {
		m.deliverDirect(&d)
	}
	for i := range u.parts {
		u.parts[i].group.awaitSpace()
	}
}

// candidates returns the number of indexes that membership accepts: the union's parts, or the member's
// memberships, whichever are fewer. The caller holds the member's mutex.
func (u *union) candidates(m *Member) int {
	if u.byPart(m) {
		return len(u.parts)
	}
	return 1 + len(m.memberships.list)
}

func (u *union) byPart(m *Member) bool {
	return m.memberships.byTopic != nil || len(u.parts) <= len(m.memberships.list)
}

// membership returns the candidate at an index, with its part, and nil if the member is not in the
// group of a part, or a group has no part. The caller holds the member's mutex.
func (u *union) membership(m *Member, i int) (*membership, *part) {
	var ms *membership
	var p *part
	switch {
	case u.byPart(m):
		p = &u.parts[i]
		ms = &m.everyone
		if p.group.topic.Kind != KindEveryone {
			ms = m.memberships.get(p.group.topic)
		}
	case i == 0:
		ms = &m.everyone
		p = u.part(ms.group)
	default:
		ms = m.memberships.list[i-1]
		p = u.part(ms.group)
	}
	if ms == nil || p == nil || ms.group != p.group {
		return nil, nil
	}
	return ms, p
}

// leftovers are the undelivered messages of groups that the member is about to leave: these
// groups keep them no longer.
type leftovers map[*membership]*pass

// at returns the delivery that a member receives next from a group.
func (l leftovers) at(ms *membership) delivery {
	if p := l[ms]; p != nil {
		return p.deliveries[p.index(ms.next)]
	}
	return ms.group.at(ms.next)
}

// next returns the delivery that the member receives next on its way to a position in a group, and
// in which group. That may be another one: what is in several groups comes after what is before it
// in any of them. The caller holds the mutex.
func (m *Member) next(ms *membership, end uint32, l leftovers) (leading *membership, d delivery, ok bool) {
	for isBefore(ms.next, end) {
		d = l.at(ms)
		u := d.union()
		if u == nil {
			return ms, d, true
		}
		var behind *membership
		for i := 0; behind == nil && i < u.candidates(m); i++ {
			if other, p := u.membership(m, i); p != nil && isBefore(other.next, p.position) {
				behind, end = other, p.position
			}
		}
		if behind == nil {
			return ms, d, true
		}
		ms = behind
	}
	return nil, delivery{}, false
}

// advance moves the member on past the delivery that next returned. It reports whether the message
// is for the member. The caller holds the mutex.
func (m *Member) advance(ms *membership, d *delivery) (isForMember bool) {
	isForMember = d.isFor(m)
	u := d.union()
	if u == nil {
		ms.next++
		return isForMember
	}
	for i := range u.candidates(m) {
		if other, p := u.membership(m, i); p != nil && other.next == p.position {
			other.next++
			isForMember = isForMember && !p.excluded
		}
	}
	if reached := u.direct[m]; reached != nil {
		isForMember = isForMember && !*reached
		*reached = true
	}
	return isForMember
}

// isBefore reports whether a position comes before another one. Positions wrap around.
func isBefore(a, b uint32) bool { return int32(a-b) < 0 }
