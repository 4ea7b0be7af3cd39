package brokertest

import (
	"slices"
	"sync"

	"github.com/goyave-contrib/websocket/hub"
)

// A soakLedger is what is known of the rooms with history.
type soakLedger struct {
	failf func(format string, arguments ...any)

	mu    sync.Mutex
	kept  map[soakEpoch]map[uint64]soakMessage // by offset
	where map[soakPlace]hub.Position
	acked []soakPlace
	lost  []soakLoss
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
	return &soakLedger{kept: make(map[soakEpoch]map[uint64]soakMessage), where: make(map[soakPlace]hub.Position)}
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

// checkStays compares what players have received in rooms with history with what was kept.
func (s *soak) checkStays() {
	sorted := s.ledger.offsets()
	for _, p := range s.players {
		for _, stay := range p.stays {
			if stay.isKept {
				s.checkStay(p, stay, sorted[soakEpoch{stay.room, stay.epoch}])
			}
		}
	}
	for _, room := range soakKept {
		if n := s.ledger.epochs(room); n > 1+s.losses {
			s.failf("%q has had %d epochs, and its history was lost %d times", room, n, s.losses)
		}
	}
	for _, loss := range s.ledger.lost {
		final := s.final[loss.room]
		offsets := sorted[soakEpoch{loss.room, final.Epoch}]
		after, _ := slices.BinarySearch(offsets, loss.at.Offset+1)
		isGone := len(offsets)-after > soakKeep
		if !isGone && (loss.at.Epoch == final.Epoch || loss.at == (hub.Position{}) && s.losses == 0) {
			s.failf("what follows %v of %q is not lost", loss.at, loss.room)
		}
	}
}

// checkStay expects that a player has got all messages between the position where it has resumed and the last
// one that it got.
func (s *soak) checkStay(p *soakPlayer, stay *soakStay, offsets []uint64) {
	if len(stay.got) == 0 {
		return
	}
	first, last := stay.since.Offset+1, stay.got[len(stay.got)-1]
	if stay.since == (hub.Position{}) && (stay.live || len(offsets) > soakKeep) {
		first = stay.got[0] // or the oldest that was kept then
	}
	var missing []uint64
	want := 0
	for _, offset := range offsets {
		if m := s.ledger.kept[soakEpoch{stay.room, stay.epoch}][offset]; offset < first || offset > last || m.Except != "" && m.Except == p.key {
			continue
		}
		if want++; !stay.has(offset) {
			missing = append(missing, offset)
		}
	}
	if len(missing) > 0 || want != len(stay.got) {
		s.failf("player %d, stay %d in %q since %v: got %d of %d messages until %d; missing %v", p.number, stay.number, stay.room, stay.since, len(stay.got), want, last, missing)
	}
}
