package natsbroker

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A mark says of a room what its entries do not show any more. The newest one of a room counts.
//
//   - An offset was the newest one when the mark was stored: in a room without an entry, 0, or when the
//     last entry would expire while the room is quiet. The mark was stored before the entries that follow.
//     As the stream drops what is oldest, no entry after the offset was dropped as long as the mark is
//     there, except by what the room keeps.
//   - With a next offset, the entry there follows the offset, and those between were dropped because the
//     room kept less than it keeps now.
//   - A trimmed mark only says that entries were dropped.
type mark struct {
	offset  uint64
	next    uint64
	trimmed bool
}

func (m mark) encode() []byte {
	return fmt.Appendf(nil, "%d %d %t", m.offset, m.next, m.trimmed)
}

// findMark returns the mark of a room, and its message, nil if there is none.
func (b *JetStreamBroker) findMark(ctx context.Context, stream, room string) (m mark, s *stored, err error) {
	s, err = b.last(ctx, stream, b.markSubject(room))
	if err == nil && s != nil {
		_, err = fmt.Sscanf(string(s.data), "%d %d %t", &m.offset, &m.next, &m.trimmed)
	}
	return m, s, err
}

// storeMark stores a mark.
func (b *JetStreamBroker) storeMark(ctx context.Context, stream, room string, m mark, options ...jetstream.PublishOpt) error {
	message := nats.NewMsg(b.markSubject(room))
	message.Data = m.encode()
	_, err := b.store(ctx, message, append(options, jetstream.WithExpectStream(stream))...)
	return err
}

// leads reports whether a mark shows that no entry is missing between an offset and the first that there
// is after it.
func (m mark) leads(offset, first uint64) bool {
	return !m.trimmed && m.offset == offset && (m.next == 0 || m.next == first)
}

// dropForGood removes the entries that the room did not keep when it kept less, before the new entry
// lets it keep more: entries are filtered by what the newest one says.
func (a *appending) dropForGood(ctx context.Context) error {
	was := a.b.keepOf(a.previousKeep)
	if a.previous == 0 || a.keep.Messages <= was.Messages && a.keep.Age <= was.Age {
		return nil
	}
	var before []stored
	var at *stored
	for at == nil {
		page, more, err := a.b.batch(ctx, a.stream, a.b.entrySubject(a.room), lastSeq(before)+1, maxPage)
		if err != nil {
			return err
		}
		for i, m := range page {
			if m.seq >= a.seq {
				at = &page[i]
				break
			}
			before = append(before, m)
		}
		if at == nil && more == 0 {
			return errBehind
		}
	}
	dropped := max(len(before)-was.Messages, 0)
	for dropped < len(before) && at.at.Sub(before[dropped].at) > was.Age {
		dropped++
	}
	if dropped == 0 {
		return nil
	}
	m := mark{offset: before[dropped-1].seq, next: a.seq}
	if dropped < len(before) {
		m.next = before[dropped].seq
	}
	if err := a.b.storeMark(ctx, a.stream, a.room, m); err != nil {
		return err
	}
	_, err := a.b.purge(ctx, a.stream, a.b.entrySubject(a.room), m.next, 0)
	return err
}

// trim removes what the room does not keep, but one entry that shows up to where.
func (a *appending) trim(ctx context.Context) error {
	purged, err := a.b.purge(ctx, a.stream, a.b.entrySubject(a.room), 0, uint64(a.keep.Messages)+1) //nolint:gosec // it is positive
	if err != nil || purged == 0 {
		return err
	}
	return a.b.storeMark(ctx, a.stream, a.room, mark{offset: a.seq, trimmed: true})
}
