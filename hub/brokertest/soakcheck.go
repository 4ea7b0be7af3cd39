package brokertest

import (
	"slices"

	"github.com/goyave-contrib/websocket/hub"
)

// checkStays compares what players have received in rooms with history with what was kept.
func (s *soak) checkStays() {
	histories := s.ledger.histories()
	for epoch, h := range histories {
		if s.newestLosses == 0 && len(h.lost) > 0 {
			s.failf("%d messages of %v are not before the newest one", len(h.lost), epoch)
		}
	}
	for _, p := range s.players {
		for _, stay := range p.stays {
			if stay.isKept {
				s.checkStay(p, stay, histories[soakEpoch{stay.room, stay.epoch}])
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
		h := histories[soakEpoch{loss.room, final.Epoch}]
		after, _ := slices.BinarySearch(h.kept, loss.at.Offset+1)
		isGone := len(h.kept)-after > soakKeep || h.lost[loss.at.Offset] || h.losesBetween(loss.at.Offset, h.kept[after:])
		isFirst := loss.at == (hub.Position{}) && s.losses+s.newestLosses == 0 // which may be lost on the way
		if !isGone && (loss.at.Epoch == final.Epoch || isFirst) {
			s.failf("what follows %v of %q is not lost", loss.at, loss.room)
		}
	}
}

// checkStay expects that a player has got all messages between the position where it has resumed and the last
// one that it got. Those that are lost can only be the last ones.
func (s *soak) checkStay(p *soakPlayer, stay *soakStay, h soakHistory) {
	got := stay.got
	for len(got) > 0 && h.lost[got[len(got)-1]] {
		got = got[:len(got)-1]
	}
	if len(got) == 0 {
		return
	}
	if h.lost[stay.since.Offset] && stay.since.Epoch == stay.epoch {
		s.failf("player %d, stay %d in %q since %v, which was lost: got %v", p.number, stay.number, stay.room, stay.since, got)
	}
	first, last := stay.since.Offset+1, got[len(got)-1]
	if stay.since == (hub.Position{}) && (stay.live || len(h.kept) > soakKeep) {
		first = stay.got[0] // or the oldest that was kept then
	}
	var missing []uint64
	want := 0
	for _, offset := range h.kept {
		if m := s.ledger.kept[soakEpoch{stay.room, stay.epoch}][offset]; offset < first || offset > last || m.Except != "" && m.Except == p.key {
			continue
		}
		if want++; !stay.has(offset) {
			missing = append(missing, offset)
		}
	}
	if len(missing) > 0 || want != len(got) {
		s.failf("player %d, stay %d in %q since %v: got %d of %d messages until %d; missing %v", p.number, stay.number, stay.room, stay.since, len(got), want, last, missing)
	}
}
