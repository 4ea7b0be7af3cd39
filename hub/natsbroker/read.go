package natsbroker

import (
	"context"
	"fmt"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go/jetstream"
)

// Read returns entries of a room. Besides [hub.ErrHistoryLost], it returns the errors that Append
// returns. The hub calls it.
func (b *JetStreamBroker) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	room, err := topicTokens(t)
	if err != nil {
		return nil, hub.Position{}, err
	}
	r := &reading{b: b, room: room, after: after, limit: max(limit, 0)}
	err = b.attempt(ctx, r.read)
	if err == nil && r.lost {
		err = hub.ErrHistoryLost
	}
	if err != nil {
		return nil, r.newest, err
	}
	return r.entries, r.newest, nil
}

// A reading is one call of Read.
type reading struct {
	b     *JetStreamBroker
	room  string
	after hub.Position
	limit int

	stream *openStream
	marked bool // what follows is known
	mark   mark
	atMark *stored // nil: there is none

	entries []hub.Entry
	newest  hub.Position
	lost    bool
}

// read may be repeated.
func (r *reading) read(ctx context.Context) (err error) {
	r.entries, r.lost, r.marked = nil, false, false
	if r.stream, err = r.b.openHistory(ctx); err != nil {
		return err
	}
	last, err := r.b.last(ctx, r.stream.name, r.b.entrySubject(r.room))
	if err != nil {
		return err
	}
	r.newest = hub.Position{Epoch: r.b.epoch(r.stream.name)}
	if last != nil {
		r.newest.Offset = last.seq
	}
	if last == nil || time.Since(last.at) > r.b.options.Age {
		if err := r.keepMark(ctx, last); err != nil {
			return err
		}
	}
	switch {
	case r.after == (hub.Position{}):
		return r.readAll(ctx, last)
	case r.after.Epoch != r.newest.Epoch:
		r.lost = true
	case r.after.Offset == r.newest.Offset:
	case r.after.Offset > r.newest.Offset && time.Since(r.stream.checked) > time.Second:
		r.b.history.doubt() // the stream may have lost entries
		return fmt.Errorf("%w: %d is newer than %d", errAgain, r.after.Offset, r.newest.Offset)
	case r.after.Offset > r.newest.Offset, last == nil:
		r.lost = true
	default:
		return r.readAfter(ctx, last)
	}
	return nil
}

// keepMark has the mark say the newest offset, and lets it live on while the room is quiet.
func (r *reading) keepMark(ctx context.Context, last *stored) error {
	if err := r.findMark(ctx); err != nil {
		return err
	}
	var expected uint64
	if last == nil {
		r.newest.Offset = r.mark.offset
	} else {
		expected = last.seq
	}
	if r.atMark != nil && r.mark == (mark{offset: r.newest.Offset}) && time.Since(r.atMark.at) < r.b.options.Age {
		return nil
	}
	err := r.b.storeMark(ctx, r.stream.name, r.room, mark{offset: r.newest.Offset},
		jetstream.WithExpectLastSequenceForSubject(expected, r.b.entrySubject(r.room)))
	if hasCode(err, codeWrongLast) {
		return fmt.Errorf("%w: %w", errAgain, err) // an entry came
	}
	return err
}

func (r *reading) findMark(ctx context.Context) (err error) {
	if !r.marked {
		r.mark, r.atMark, err = r.b.findMark(ctx, r.stream.name, r.room)
		r.marked = err == nil
	}
	return err
}

// readAfter reads what comes after a position that is older than the newest. The entry there shows that
// none after it was dropped, as entries are dropped from the oldest on, and so does the mark.
func (r *reading) readAfter(ctx context.Context, last *stored) error {
	messages, count, err := r.page(ctx, r.after.Offset, max(r.limit, 1)+1, last)
	if err != nil {
		return err
	}
	if len(messages) > 0 && messages[0].seq == r.after.Offset {
		messages = messages[1:]
		count--
	} else {
		follows, err := r.follows(ctx, messages)
		if err != nil || !follows {
			r.lost = err == nil
			return err
		}
	}
	keep := r.b.keepOf(last.header.Get(keepHeader))
	if count > keep.Messages {
		r.lost = true
		return nil
	}
	if len(messages) == 0 { // it was dropped meanwhile
		return nil
	}
	if time.Since(messages[0].at) > keep.Age {
		r.lost = true
		return nil
	}
	return r.take(ctx, r.after.Offset, messages, count, last)
}

// follows reports whether no entry is missing between the position, where there is no entry, and messages.
func (r *reading) follows(ctx context.Context, messages []stored) (bool, error) {
	if len(messages) == 0 {
		return false, nil
	}
	if err := r.findMark(ctx); err != nil {
		return false, err
	}
	if r.atMark != nil || r.after.Offset > 0 {
		return r.atMark != nil && r.mark.leads(r.after.Offset, messages[0].seq), nil
	}
	first, err := r.b.last(ctx, r.stream.name, r.b.firstSubject())
	return first != nil, err // then the stream has dropped nothing of what was in the room, but that shows in its number
}

// readAll reads the oldest entries that the room keeps.
func (r *reading) readAll(ctx context.Context, last *stored) error {
	if last == nil || r.limit == 0 {
		return nil
	}
	keep := r.b.keepOf(last.header.Get(keepHeader))
	var previous uint64
	for from := uint64(1); ; from = previous + 1 {
		messages, count, err := r.page(ctx, from, r.limit+1, last)
		if err != nil {
			return err
		}
		if len(messages) == 0 { // all were dropped meanwhile
			return nil
		}
		for len(messages) > 0 && (count > keep.Messages || time.Since(messages[0].at) > keep.Age) {
			previous = messages[0].seq
			messages = messages[1:]
			count--
		}
		switch {
		case len(messages) == 0 && count > 0:
			continue
		case len(messages) == 0:
			return nil
		case previous == 0:
			if err := r.findMark(ctx); err != nil {
				return err
			}
			if r.mark.leads(r.mark.offset, messages[0].seq) && r.mark.offset < messages[0].seq {
				previous = r.mark.offset
			}
		}
		return r.take(ctx, previous, messages, count, last)
	}
}

// page returns messages from a sequence on, and how many there are from there on in all. What is in last
// is in it, too, unless the page ends before that.
func (r *reading) page(ctx context.Context, from uint64, n int, last *stored) ([]stored, int, error) {
	messages, more, err := r.b.batchTo(ctx, r.stream.name, r.b.entrySubject(r.room), from, n, last.seq)
	return messages, len(messages) + int(more), err //nolint:gosec // a limit of the stream, which is an int
}

// take makes entries of messages, of which count follow previous, and reads on if the limit of a batch
// has cut them short.
func (r *reading) take(ctx context.Context, previous uint64, messages []stored, count int, last *stored) error {
	for {
		for _, m := range messages {
			if len(r.entries) == r.limit {
				return nil
			}
			r.entries = append(r.entries, hub.Entry{
				Position: hub.Position{Epoch: r.newest.Epoch, Offset: m.seq},
				Previous: previous, Payload: r.b.payload(m.data),
			})
			previous = m.seq
			r.newest.Offset = max(r.newest.Offset, m.seq)
		}
		if len(messages) >= count || len(r.entries) == r.limit {
			return nil
		}
		var err error
		messages, count, err = r.page(ctx, previous, r.limit-len(r.entries)+1, last)
		if err != nil {
			return err
		}
		if len(messages) == 0 || messages[0].seq != previous { // dropped meanwhile: the beginning must be judged again
			return errBehind
		}
		messages, count = messages[1:], count-1
	}
}
