package natsbroker

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// keepHeader is what the room keeps: the number of messages, and milliseconds.
const keepHeader = "Hub-Keep"

// headerSize is more than the headers of an entry have.
const headerSize = 512

// arrival is how long Append waits for its own entry to arrive, which says what was before it, before
// it asks the servers.
const arrival = 250 * time.Millisecond

// Append stores a payload in the history of a room and waits for the server's acknowledgment. The error
// is one of
//   - [ErrKeep]
//   - [ErrClosed]
//   - an error that wraps nats.ErrMaxPayload, as that of Publish
//   - an error that wraps nats.ErrConnectionClosed, when the connection has ended for good
//   - the cause of ctx, and the last failure before it ended. The entry may be stored all the same
//   - an error of the servers, such as a limit of the account
func (b *JetStreamBroker) Append(ctx context.Context, t hub.Topic, payload []byte, keep hub.Keep) (hub.Entry, error) {
	room, err := topicTokens(t)
	if err != nil {
		return hub.Entry{}, err
	}
	if keep.Age == 0 {
		keep.Age = min(defaultAge, b.options.Age)
	}
	if keep.Messages <= 0 || keep.Messages > b.options.Messages || keep.Age < 0 || keep.Age > b.options.Age {
		return hub.Entry{}, fmt.Errorf("%w: %d messages, %v", ErrKeep, keep.Messages, keep.Age)
	}
	if err := b.checkSize(len(b.self) + headerSize + len(payload)); err != nil {
		return hub.Entry{}, err
	}
	a := &appending{b: b, room: room, topic: t, id: rand.Text(), keep: keep}
	a.message = nats.NewMsg(b.entrySubject(room))
	a.message.Data = append(append(make([]byte, 0, len(b.self)+len(payload)), b.self[:]...), payload...)
	a.message.Header.Set(keepHeader, fmt.Sprint(keep.Messages, " ", max(keep.Age.Milliseconds(), 1)))
	if err := b.attempt(ctx, a.store); err != nil {
		return hub.Entry{}, err
	}
	if err := b.attempt(ctx, a.findPrevious); err != nil {
		return hub.Entry{}, err
	}
	if err := b.attempt(ctx, a.dropForGood); err != nil {
		return hub.Entry{}, err
	}
	if keep.Messages < b.options.Messages && mathrand.IntN(keep.Messages/2+8) == 0 {
		_ = b.attempt(ctx, a.trim) // it is only about storage; a later Append tries again
	}
	return hub.Entry{
		Position: hub.Position{Epoch: b.epoch(a.stream), Offset: a.seq},
		Previous: a.previous, Payload: payload,
	}, nil
}

// An appending is one call of Append.
type appending struct {
	b       *JetStreamBroker
	topic   hub.Topic
	room    string
	keep    hub.Keep
	id      string // the servers know by it that the message is stored already
	message *nats.Msg

	stream string
	alone  bool
	seq    uint64

	known        bool // what follows is known
	previous     uint64
	previousKeep string
}

// store stores the message. It may be repeated.
func (a *appending) store(ctx context.Context) error {
	s, err := a.b.openHistory(ctx)
	if err != nil {
		return err
	}
	arrived := a.b.expectArrival(a.topic, a.id)
	defer a.b.forgetArrival(a.id)
	seen := s.seen.Load()
	ack, err := a.b.store(ctx, a.message, jetstream.WithMsgID(a.id))
	if err != nil {
		return err
	}
	isAnother := ack.Stream != s.name
	if isAnother || !ack.Duplicate && ack.Sequence <= seen {
		// The stream is another one, or offsets begin again: nothing in it counts before it was checked.
		a.b.history.doubt()
		if !isAnother { // another one may count: by the ID it knows that it has the message
			a.id = rand.Text()
		}
		return fmt.Errorf("%w: stream %s at %d", errAgain, ack.Stream, ack.Sequence)
	}
	a.b.history.saw(ack.Stream, ack.Sequence)
	a.stream, a.seq, a.alone = ack.Stream, ack.Sequence, s.alone
	a.known = false
	if arrived != nil {
		timer := time.NewTimer(arrival)
		defer timer.Stop()
		select {
		case before := <-arrived:
			a.previous, a.previousKeep, a.known = before.seq, before.keep, before.seq > 0
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// findPrevious finds the entry before the new one, or before what the room has kept.
func (a *appending) findPrevious(ctx context.Context) error {
	if a.known {
		return nil
	}
	subject := a.b.entrySubject(a.room)
	messages, err := a.b.lastOf(ctx, a.stream, a.seq-1, subject)
	if err != nil {
		return err
	}
	a.previous, a.previousKeep = lastSeq(messages), ""
	if len(messages) > 0 {
		a.previousKeep = messages[0].header.Get(keepHeader)
	}
	for !a.alone { // the server that has answered may be behind: the leader says what comes next
		next, err := a.b.next(ctx, a.stream, subject, a.previous+1)
		if err != nil {
			return err
		}
		if next == nil || next.seq >= a.seq {
			break
		}
		a.previous, a.previousKeep = next.seq, next.header.Get(keepHeader)
	}
	if a.previous == 0 {
		mark, _, err := a.b.findMark(ctx, a.stream, a.room)
		if err != nil {
			return err
		}
		if mark.offset < a.seq {
			a.previous = mark.offset
		}
	}
	a.known = true
	return nil
}

// keepOf returns what an entry says that the room keeps.
func (b *JetStreamBroker) keepOf(header string) hub.Keep {
	keep := hub.Keep{Messages: b.options.Messages, Age: b.options.Age}
	messages, age, _ := strings.Cut(header, " ")
	if n, err := strconv.Atoi(messages); err == nil && n > 0 {
		keep.Messages = min(n, keep.Messages)
	}
	if ms, err := strconv.ParseInt(age, 10, 64); err == nil && ms > 0 && ms < keep.Age.Milliseconds() {
		keep.Age = time.Duration(ms) * time.Millisecond
	}
	return keep
}
