package natsbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The stream with the history of all rooms:
//
//   - An entry is a message to PREFIX.history.entry.room.NAME. The stream publishes it again to
//     PREFIX.room.NAME, to which nodes are subscribed anyway, with headers that say its sequence, which is
//     the offset, and that of the room's entry before it.
//   - The name of the stream ends with a random part, the epoch. So a stream that is made again is another
//     one, and each acknowledgment and each entry says of which epoch it is. The stream with the state
//     has the name that counts.
//   - PREFIX.history.root has a message from the moment the stream is made. A server that has lost its disk
//     may make the stream again by itself, empty, with the same name: without its root, it is not used.
//   - PREFIX.history.first has a message that is older than all entries. As the stream drops what is oldest,
//     it has dropped nothing as long as the message is there, except by what rooms keep.
//   - PREFIX.history.mark.room.NAME has marks of the room: see mark.go.

// A historyStream is what a broker knows of the stream. Only the goroutine that has the lock opens it.
type historyStream struct {
	lock    chan struct{} // has room for one
	making  string        // the name that this node has chosen and not made yet; for who has the lock
	mu      sync.Mutex
	current *openStream // nil before the first use, and when it is to be checked
}

// An openStream is a stream with its root.
type openStream struct {
	name    string
	checked time.Time
	alone   bool           // there is one replica, which is always up to date
	seen    *atomic.Uint64 // the largest sequence that was acknowledged to this node or received
}

// recheck is how long an open stream is used without a check of its root.
const recheck = 10 * time.Second

// makePatience is how long other nodes wait for the one that makes the stream.
const makePatience = 5 * time.Second

var errUnmade = fmt.Errorf("%w: the stream is being made", errAgain)

func (b *JetStreamBroker) chosenSubject() string { return b.prefix + ".state.history" }
func (b *JetStreamBroker) rootSubject() string   { return b.prefix + ".history.root" }
func (b *JetStreamBroker) firstSubject() string  { return b.prefix + ".history.first" }

// entrySubject and markSubject take the end of a topic's subject, or wildcards.
func (b *JetStreamBroker) entrySubject(topic string) string {
	return b.prefix + ".history.entry." + topic
}
func (b *JetStreamBroker) markSubject(topic string) string {
	return b.prefix + ".history.mark." + topic
}

// republished is where the stream publishes an entry again.
func (b *JetStreamBroker) republished() *jetstream.RePublish {
	return &jetstream.RePublish{
		Source:      b.entrySubject("*.*"),
		Destination: b.prefix + ".{{wildcard(1)}}.{{wildcard(2)}}",
	}
}

// epoch returns the epoch of a stream.
func (b *JetStreamBroker) epoch(stream string) string {
	return strings.TrimPrefix(stream, b.options.Streams+"_history_")
}

func (h *historyStream) known() *openStream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

func (h *historyStream) set(s *openStream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = s
}

// doubt has the stream checked before it is used again.
func (h *historyStream) doubt() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != nil {
		doubtful := *h.current
		doubtful.checked = time.Time{}
		h.current = &doubtful
	}
}

// saw notes a sequence of a stream.
func (h *historyStream) saw(stream string, seq uint64) {
	s := h.known()
	if s == nil || s.name != stream {
		return
	}
	for {
		seen := s.seen.Load()
		if seq <= seen || s.seen.CompareAndSwap(seen, seq) {
			return
		}
	}
}

// openHistory returns the stream, which it makes or makes anew if it must.
func (b *JetStreamBroker) openHistory(ctx context.Context) (*openStream, error) {
	h := &b.history
	if s := h.known(); s != nil && time.Since(s.checked) < recheck {
		return s, nil
	}
	select {
	case h.lock <- struct{}{}:
		defer func() { <-h.lock }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	was := h.known()
	if was != nil && time.Since(was.checked) < recheck {
		return was, nil
	}
	s, err := b.checkHistory(ctx, was)
	if err != nil {
		return nil, err
	}
	h.set(s)
	if was != nil && was.name != s.name {
		// nats.go may hold the lock that the error handler is read under for longer than ctx
		_ = b.goSending(func() { b.report(fmt.Errorf("%w: in stream %s", ErrHistoryBegan, s.name)) })
	}
	return s, nil
}

func (b *JetStreamBroker) checkHistory(ctx context.Context, was *openStream) (*openStream, error) {
	var seen uint64
	if was != nil {
		seen = was.seen.Load() // before the server is asked for its newest
	}
	state, err := b.openState(ctx)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	chosen, err := b.last(ctx, state, b.chosenSubject())
	if err != nil {
		return nil, err
	}
	if chosen == nil {
		return b.adoptHistory(ctx, state)
	}
	name := string(chosen.data)
	if name == b.history.making {
		return b.makeHistory(ctx, name)
	}
	stream, err := do(ctx, b, func(ctx context.Context) (jetstream.Stream, error) { return b.js.Stream(ctx, name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if time.Since(chosen.at) < makePatience {
			return nil, errUnmade
		}
		return b.chooseHistory(ctx, state, chosen.seq)
	}
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	if err := b.adjust(ctx, info.Config); err != nil {
		return nil, err
	}
	isKnown := was != nil && was.name == name
	hasRoot, err := b.checkRoot(ctx, info)
	switch {
	case err != nil:
		return nil, err
	case !hasRoot || isKnown && info.State.LastSeq < seen:
		return b.chooseHistory(ctx, state, chosen.seq)
	}
	s := &openStream{name: name, checked: begun, alone: info.Config.Replicas == 1, seen: new(atomic.Uint64)}
	if isKnown {
		s.seen = was.seen
	}
	return s, nil
}

// checkRoot reports whether a stream still has its root record, and stores it again before limits drop
// it.
func (b *JetStreamBroker) checkRoot(ctx context.Context, info *jetstream.StreamInfo) (hasRoot bool, err error) {
	root, err := b.last(ctx, info.Config.Name, b.rootSubject())
	switch {
	case err != nil:
		return false, err
	case root == nil && info.TimeStamp.Sub(info.Created) < makePatience:
		return false, errUnmade
	case root == nil:
		return false, nil
	case info.TimeStamp.Sub(root.at) > b.options.Age || root.seq < (info.State.FirstSeq+info.State.LastSeq)/2:
		return true, b.storeRoot(ctx, info.Config.Name)
	default:
		return true, nil
	}
}

// adoptHistory is for the first use, and for a state that was lost: a stream that is there still counts.
func (b *JetStreamBroker) adoptHistory(ctx context.Context, state string) (*openStream, error) {
	name, err := do(ctx, b, func(ctx context.Context) (string, error) { return b.js.StreamNameBySubject(ctx, b.rootSubject()) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return b.chooseHistory(ctx, state, 0)
	}
	if err != nil {
		return nil, err
	}
	_, err = b.putRecord(ctx, state, b.chosenSubject(), []byte(name), inPlace, after(0))
	if err == nil || hasCode(err, codeWrongLast) {
		err = fmt.Errorf("%w: stream %s was found", errAgain, name)
	}
	return nil, err
}

// chooseHistory has history begin with a new stream, unless another node has chosen one since.
func (b *JetStreamBroker) chooseHistory(ctx context.Context, state string, seq uint64) (*openStream, error) {
	name := b.options.Streams + "_history_" + strings.ToLower(rand.Text()[:12])
	_, err := b.putRecord(ctx, state, b.chosenSubject(), []byte(name), inPlace, after(seq))
	if hasCode(err, codeWrongLast) {
		return nil, fmt.Errorf("%w: %w", errAgain, err)
	}
	if err != nil {
		return nil, err
	}
	b.history.making = name
	return b.makeHistory(ctx, name)
}

// makeHistory makes the stream that was chosen, in place of any other that has its subjects. It may
// be repeated.
func (b *JetStreamBroker) makeHistory(ctx context.Context, name string) (*openStream, error) {
	begun := time.Now()
	_, err := do(ctx, b, func(ctx context.Context) (jetstream.Stream, error) {
		others := b.js.StreamNames(ctx, jetstream.WithStreamListSubject(b.rootSubject()))
		for other := range others.Name() {
			if other == name {
				continue
			}
			if err := b.js.DeleteStream(ctx, other); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil, err
			}
		}
		if err := others.Err(); err != nil {
			return nil, err
		}
		return b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name:              name,
			Description:       "history of rooms",
			Subjects:          []string{b.prefix + ".history.>"},
			MaxMsgsPerSubject: int64(b.options.Messages) + 1, // one more shows up to where entries were dropped
			MaxAge:            2 * b.options.Age,
			MaxBytes:          b.options.Bytes,
			Storage:           b.options.Storage,
			Replicas:          b.options.Replicas,
			Duplicates:        min(duplicates, 2*b.options.Age),
			AllowDirect:       true,
			RePublish:         b.republished(),
		})
	})
	if hasCode(err, codeOverlap) {
		return nil, fmt.Errorf("%w: %w", errAgain, err)
	}
	if err != nil {
		return nil, err
	}
	first := nats.NewMsg(b.firstSubject())
	if _, err := b.store(ctx, first, jetstream.WithExpectStream(name)); err != nil {
		return nil, err
	}
	if err := b.storeRoot(ctx, name); err != nil {
		return nil, err
	}
	b.history.making = ""
	return &openStream{name: name, checked: begun, alone: b.options.Replicas == 1, seen: new(atomic.Uint64)}, nil
}

// duplicates is how long a server recognizes a message that is stored again.
const duplicates = time.Minute

func (b *JetStreamBroker) storeRoot(ctx context.Context, name string) error {
	_, err := b.store(ctx, nats.NewMsg(b.rootSubject()), jetstream.WithExpectStream(name))
	return err
}

var errForeign = errors.New("a stream that is not the broker's has the subjects of history")

// adjust makes the limits of an existing stream larger if the options say so, never smaller.
func (b *JetStreamBroker) adjust(ctx context.Context, config jetstream.StreamConfig) error {
	if config.RePublish == nil || *config.RePublish != *b.republished() || !config.AllowDirect {
		return fmt.Errorf("%w: %s", errForeign, config.Name)
	}
	wanted := config
	wanted.MaxMsgsPerSubject = max(wanted.MaxMsgsPerSubject, int64(b.options.Messages)+1)
	wanted.MaxAge = max(wanted.MaxAge, 2*b.options.Age)
	if wanted.MaxMsgsPerSubject == config.MaxMsgsPerSubject && wanted.MaxAge == config.MaxAge {
		return nil
	}
	if wanted.MaxMsgsPerSubject > config.MaxMsgsPerSubject { // nothing shows what the smaller limit has dropped
		for _, subject := range []string{b.markSubject("*.*"), b.firstSubject()} {
			if _, err := b.purge(ctx, config.Name, subject, 0, 0); err != nil {
				return err
			}
		}
	}
	_, err := do(ctx, b, func(ctx context.Context) (jetstream.Stream, error) { return b.js.UpdateStream(ctx, wanted) })
	return err
}
