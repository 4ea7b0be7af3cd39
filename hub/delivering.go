package hub

// maxBatch is how many entries go to the log before a pass delivers them.
const maxBatch = maxPending / 2

// deliver delivers the entries that follow the cursor, and has what is missing read.
func (f *follower) deliver() {
	for f.deliverSome() { // until there is no more
	}
	f.workIfNeeded()
}

// deliverSome delivers some of the entries that follow the cursor, and reports whether there may be
// more. While another goroutine is at it, that one goes on instead.
func (f *follower) deliverSome() (more bool) {
	g := f.group
	g.mu.Lock()
	if f.delivering || f.nextLocked() == nil {
		g.mu.Unlock()
		return false
	}
	f.delivering = true
	first := false
	var toSeveral *keptEntry
	for range maxBatch {
		k := f.nextLocked()
		if k == nil {
			break
		}
		if k.isForSeveral() {
			toSeveral = k
			break
		}
		if !first {
			g.awaitSpaceLocked() // it unlocks the mutex, but no other goroutine moves the cursor
		}
		first = f.appendLocked(k) || first
	}
	if toSeveral == nil {
		f.deliveredLocked()
	}
	g.mu.Unlock()
	if first {
		g.pass()
	}
	if toSeveral != nil {
		g.hub.deliverKept(toSeveral)
		g.mu.Lock()
		f.deliveredLocked()
		g.mu.Unlock()
	}
	return true
}

// nextLocked returns the entry that follows the cursor, nil if it is not there yet.
func (f *follower) nextLocked() *keptEntry {
	if a := f.waiting[f.cursor]; f.live && a != nil {
		return a.entry
	}
	return nil
}

// appendLocked appends an entry to the log of the group, as group.appendLocked does.
func (f *follower) appendLocked(k *keptEntry) (first bool) {
	if k.isNone {
		f.advanceLocked(k)
		return false
	}
	d := f.group.hub.newDelivery(k.message)
	d.details().kept = k
	for _, t := range k.except {
		d.leaveOut(f.group.hub.number(target{topic: t}))
	}
	return f.group.appendLocked(d)
}

// advanceLocked moves the cursor to an entry that follows it.
func (f *follower) advanceLocked(k *keptEntry) {
	f.removeLocked(f.cursor)
	f.cursor, f.quiet = k.at, false
	f.recent.add(k)
	f.notifyLocked()
}

func (f *follower) deliveredLocked() {
	f.delivering = false
	f.notifyLocked()
}

// isForSeveral reports whether the entry leaves out the members of other groups.
func (k *keptEntry) isForSeveral() bool {
	for _, t := range k.except {
		if t.Kind != kindMember {
			return true
		}
	}
	return false
}

// deliverKept delivers an entry that leaves out the members of other groups.
func (h *Hub) deliverKept(k *keptEntry) {
	g := k.follower.group
	d := h.newDelivery(k.message)
	d.details().kept = k
	a := Audience{hub: h}
	a.except = a.except.withTopics(k.except)
	h.mu.RLock()
	s := h.selectLocked(a)
	if s.exceptAll || h.groupLocked(g.topic) != g {
		h.mu.RUnlock()
		g.mu.Lock()
		defer g.mu.Unlock()
		k.follower.advanceLocked(k)
		return
	}
	s.groups = []*group{g}
	h.deliverSelection(s, d)
}
