package hub

// isHeld reports whether the member is not sent entries of the history of a group: it is being sent what
// it has missed there, or has missed something for good. Other messages to the group are not concerned.
// The caller holds the member's mutex.
func (m *Member) isHeld(ms *membership) bool {
	if m.holds == 0 || ms.group.follower == nil {
		return false
	}
	ms.group.mu.Lock()
	defer ms.group.mu.Unlock()
	_, isHeld := ms.group.follower.held[ms]
	return isHeld
}

// holdLocked holds the member in a group: for a resumption, or for good. The caller holds the member's
// mutex.
func (m *Member) holdLocked(ms *membership, r *resumption) {
	g := ms.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.follower.held[ms] = r
	m.holds++
	if r != nil {
		r.ms, r.follower = ms, g.follower
	}
}

// cutOff holds a member for good, unless it has left the group.
func (m *Member) cutOff(ms *membership, g *group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ms.group == g {
		m.holdLocked(ms, nil)
	}
}

// releaseLocked ends the holding of a resumption. The caller holds the mutexes of the member and the
// group.
func (m *Member) releaseLocked(r *resumption) {
	delete(r.follower.held, r.ms)
	m.holds--
}

// unhold forgets that the member is held in groups that it has left. The caller holds the mutex.
func (m *Member) unhold(list []*membership) {
	if m.holds == 0 {
		return
	}
	for _, ms := range list {
		if f := ms.group.follower; f != nil {
			ms.group.mu.Lock()
			delete(f.held, ms)
			ms.group.mu.Unlock()
		}
	}
}

// abandon makes the member leave the group after a resumption that has failed.
func (m *Member) abandon(r *resumption) {
	m.exit(func(*Member) []*membership { return oneOrNone(r.membershipLocked()) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds--
}

// endResumptions ends the resumptions in groups that the member leaves, so that it is sent nothing
// more of these groups.
func (m *Member) endResumptions(selected selector) {
	m.mu.Lock()
	var ending []*resumption
	if m.holds > 0 && !m.left {
		for _, ms := range selected(m) {
			if r := ms.resumption(); r != nil {
				ending = append(ending, r)
			}
		}
	}
	m.mu.Unlock()
	for _, r := range ending {
		r.end(errLeftRoom)
		<-r.done
	}
}

// resumption returns the resumption that holds the member, nil for none.
func (ms *membership) resumption() *resumption {
	f := ms.group.follower
	if f == nil {
		return nil
	}
	ms.group.mu.Lock()
	defer ms.group.mu.Unlock()
	return f.held[ms]
}
