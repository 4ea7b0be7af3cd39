package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The stream with the presence of all rooms, and what the nodes agree on:
//
//   - PREFIX.state.history has the name of the stream with the history.
//   - PREFIX.state.node.NODE has the lease of a node: its last message, as long as it is not older than
//     it says, by the clock of the servers. Who finds one that is older puts a tombstone in its place, on the
//     condition that it was not renewed meanwhile. So a node is dropped at one moment for all, and
//     learns of it when it renews.
//   - PREFIX.state.people.room.NAME.NODE has a log: what the node has changed in the room, one message
//     a change, and now and then a snapshot in place of all before it. So a change costs what its
//     size is, and the log what twice the people in it are.
//   - Each lease has a life, a random name. Records of another life than the lease's do not count.

// A stateStream is what a broker knows of the stream, and what the nodes have put that it speaks for:
// one, for a hub.
type stateStream struct {
	opening chan struct{} // has room for one
	name    atomic.Pointer[string]
	alone   atomic.Bool // there is one replica, which is always up to date

	ahead atomic.Int64 // by how many nanoseconds the servers' clock is ahead of ours

	mu     sync.Mutex
	leases map[string]lease // by node
	logs   map[logName]*peopleLog
}

type logName struct {
	room hub.Topic
	node string
}

func newStateStream() *stateStream {
	return &stateStream{
		opening: make(chan struct{}, 1),
		leases:  make(map[string]lease),
		logs:    make(map[logName]*peopleLog),
	}
}

// serverTime returns the time by the servers' clock.
func (p *stateStream) serverTime() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }

func (b *JetStreamBroker) leaseSubject(node string) string {
	return b.prefix + ".state.node." + node
}
func (b *JetStreamBroker) peopleSubject(topic, node string) string {
	return b.prefix + ".state.people." + topic + "." + node
}

// withState calls f with the name of the stream until it succeeds, as attempt does.
func (b *JetStreamBroker) withState(ctx context.Context, f func(ctx context.Context, stream string) error) error {
	return b.attempt(ctx, func(ctx context.Context) error {
		stream, err := b.openState(ctx)
		if err != nil {
			return err
		}
		return f(ctx, stream)
	})
}

func (b *JetStreamBroker) openState(ctx context.Context) (string, error) {
	p := b.state
	if name := p.name.Load(); name != nil {
		return *name, nil
	}
	select {
	case p.opening <- struct{}{}:
		defer func() { <-p.opening }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if name := p.name.Load(); name != nil {
		return *name, nil
	}
	name := b.options.Streams + "_state"
	subjects := b.prefix + ".state.>"
	stream, err := do(ctx, b, func(ctx context.Context) (jetstream.Stream, error) {
		stream, err := b.js.Stream(ctx, name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err
		}
		return b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: name, Description: "people in rooms, and what nodes agree on", Subjects: []string{subjects},
			Storage: b.options.Storage, Replicas: b.options.Replicas,
			AllowDirect: true, AllowRollup: true, AllowMsgTTL: true,
		})
	})
	if hasCode(err, codeNameInUse) {
		return "", fmt.Errorf("%w: %w", errAgain, err)
	}
	if err != nil {
		return "", err
	}
	config := stream.CachedInfo().Config
	if len(config.Subjects) != 1 || config.Subjects[0] != subjects || !config.AllowDirect || !config.AllowRollup || !config.AllowMsgTTL {
		return "", fmt.Errorf("%w: %s", errForeign, name)
	}
	p.alone.Store(config.Replicas == 1)
	p.name.Store(&name)
	return name, nil
}

// all returns all messages of a subject with wildcards, the oldest first, with all that were acknowledged
// before the call.
func (b *JetStreamBroker) all(ctx context.Context, stream, subject string) ([]stored, error) {
	var newest uint64
	if !b.state.alone.Load() {
		last, err := b.last(ctx, stream, subject)
		if err != nil {
			return nil, err
		}
		if last != nil {
			newest = last.seq
		}
	}
	var messages []stored
	for {
		page, more, err := b.batchTo(ctx, stream, subject, lastSeq(messages)+1, maxPage, newest)
		if err != nil {
			return nil, err
		}
		messages = append(messages, page...)
		if more == 0 || len(page) == 0 {
			return messages, nil
		}
	}
}

// maxPage limits the messages of one batch.
const maxPage = 10_000

// putRecord stores a message of presence.
func (b *JetStreamBroker) putRecord(ctx context.Context, stream, subject string, data []byte, options ...putOption) (uint64, error) {
	m := nats.NewMsg(subject)
	m.Data = data
	publish := []jetstream.PublishOpt{jetstream.WithExpectStream(stream)}
	for _, option := range options {
		publish = option(m, publish)
	}
	ack, err := b.store(ctx, m, publish...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

type putOption func(m *nats.Msg, options []jetstream.PublishOpt) []jetstream.PublishOpt

// inPlace removes all earlier messages of the subject.
func inPlace(m *nats.Msg, options []jetstream.PublishOpt) []jetstream.PublishOpt {
	m.Header.Set("Nats-Rollup", "sub")
	return options
}

// after stores the message only if the newest of the subject has this sequence.
func after(seq uint64) putOption {
	return func(_ *nats.Msg, options []jetstream.PublishOpt) []jetstream.PublishOpt {
		return append(options, jetstream.WithExpectLastSequencePerSubject(seq))
	}
}

// expiring has the server remove the message after some time.
func expiring(ttl time.Duration) putOption {
	return func(_ *nats.Msg, options []jetstream.PublishOpt) []jetstream.PublishOpt {
		return append(options, jetstream.WithMsgTTL(ttl))
	}
}
