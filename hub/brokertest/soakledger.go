package brokertest

import (
	"slices"
	"sync"

	"github.com/goyave-contrib/websocket/hub"
)

// A soakLedger is what is known of the rooms with history.
type soakLedger struct {
	failf func(format string, arguments ...any)

	mu     sync.Mutex
	kept   map[soakEpoch]map[uint64]soakMessage // by offset
	where  map[soakPlace]hub.Position
	before map[soakEpoch]map[uint64]uint64 // by offset: the offset of the entry before
	acked  []soakPlace
	lost   []soakLoss
}

// A soakEpoch is the life of the history of a room.
type soakEpoch struct{ room, epoch string }

// A soakPlace is a message in a room.
type soakPlace struct {
	room    string
	message soakMessage
}

// A soakLoss is a position of which a player was told that it is lost.
type soakLoss struct {
	room string
	at   hub.Position
}

func newSoakLedger() *soakLedger {
	return &soakLedger{kept: make(map[soakEpoch]map[uint64]soakMessage), where: make(map[soakPlace]hub.Position), before: make(map[soakEpoch]map[uint64]uint64)}
}

// record records where a message is, which all must agree on.
func (l *soakLedger) record(room string, at hub.Position, m soakMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	epoch, place := soakEpoch{room, at.Epoch}, soakPlace{room, m}
	if l.kept[epoch] == nil {
		l.kept[epoch] = make(map[uint64]soakMessage)
	}
	if other, ok := l.kept[epoch][at.Offset]; ok && other != m {
		l.failf("%v and %v are both at %v of %q", other, m, at, room)
	}
	if other, ok := l.where[place]; ok && other != at {
		l.failf("%v is at %v and at %v of %q", m, other, at, room)
	}
	l.kept[epoch][at.Offset], l.where[place] = m, at
}

// link records which entry is before another one, on which all must agree.
func (l *soakLedger) link(room string, e hub.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	epoch := soakEpoch{room, e.Epoch}
	if e.Previous >= e.Offset {
		l.failf("%d is before %v of %q", e.Previous, e.Position, room)
		return
	}
	if l.before[epoch] == nil {
		l.before[epoch] = make(map[uint64]uint64)
	}
	if other, ok := l.before[epoch][e.Offset]; ok && other != e.Previous {
		l.failf("%d and %d are before %v of %q", other, e.Previous, e.Position, room)
	}
	l.before[epoch][e.Offset] = e.Previous
}

// acknowledge records that Send has returned nil.
func (l *soakLedger) acknowledge(room string, m soakMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, soakPlace{room, m})
	if _, ok := l.where[soakPlace{room, m}]; !ok {
		l.failf("Send has returned nil, and the broker has not kept %v in %q", m, room)
	}
}

// position returns where a message is, the zero Position if that is not known.
func (l *soakLedger) position(room string, m soakMessage) hub.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.where[soakPlace{room, m}]
}

// lose records that what follows a position is said to be lost.
func (l *soakLedger) lose(room string, at hub.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, soakLoss{room, at})
}

func (l *soakLedger) lostCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lost)
}

// count returns how many messages were kept, and in how many epochs.
func (l *soakLedger) count() (messages, epochs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.where), len(l.kept)
}

// epochs returns how many epochs a room has had.
func (l *soakLedger) epochs(room string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.kept {
		if e.room == room {
			n++
		}
	}
	return n
}

// A soakHistory has the sorted offsets of the messages of an epoch.
type soakHistory struct {
	kept []uint64
	lost map[uint64]bool // those that are not before the newest one, which was kept
}

// losesBetween reports whether messages were lost between an offset and the first that was kept after it. A member
// that is not to get them has passed them all the same.
func (h soakHistory) losesBetween(offset uint64, kept []uint64) bool {
	for lost := range h.lost {
		if lost > offset && (len(kept) == 0 || lost < kept[0]) {
			return true
		}
	}
	return false
}

// histories returns all epochs.
func (l *soakLedger) histories() map[soakEpoch]soakHistory {
	all := make(map[soakEpoch]soakHistory)
	for epoch, offsets := range l.offsets() {
		h := soakHistory{lost: make(map[uint64]bool)}
		at := offsets[len(offsets)-1] // where the way back is: not all that is on it is known
		for _, offset := range slices.Backward(offsets) {
			for at > offset {
				previous, isKnown := l.before[epoch][at]
				if !isKnown {
					previous = offset
				}
				at = previous
			}
			if at < offset {
				h.lost[offset] = true
				continue
			}
			h.kept = append(h.kept, offset)
		}
		slices.Reverse(h.kept)
		all[epoch] = h
	}
	return all
}

// offsets returns the sorted offsets of each epoch.
func (l *soakLedger) offsets() map[soakEpoch][]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sorted := make(map[soakEpoch][]uint64)
	for e, kept := range l.kept {
		for offset := range kept {
			sorted[e] = append(sorted[e], offset)
		}
		slices.Sort(sorted[e])
	}
	return sorted
}
