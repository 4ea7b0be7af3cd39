package brokertest

import (
	"bytes"
	"context"

	"github.com/goyave-contrib/websocket/hub"
)

// lostMark marks what is lost on its way while soak.loses says so: it is the sender of a message, or the key
// of a person.
const lostMark = "lost on its way"

// A watchedBroker records what has been kept, and loses what is marked before it arrives.
type watchedBroker struct {
	SoakBroker
	soak *soak
}

func (b watchedBroker) isLost(payload []byte) bool {
	return b.soak.loses.Load() && bytes.Contains(payload, []byte(lostMark))
}

// Open opens the broker.
func (b watchedBroker) Open(receive func(hub.Topic, []byte)) {
	b.SoakBroker.Open(func(t hub.Topic, payload []byte) {
		if !b.isLost(payload) {
			receive(t, payload)
		}
	})
}

// OpenHistory opens the broker for entries.
func (b watchedBroker) OpenHistory(receive func(hub.Topic, hub.Entry)) {
	b.SoakBroker.OpenHistory(func(t hub.Topic, e hub.Entry) {
		b.soak.ledger.link(t.Name, e)
		if !b.isLost(e.Payload) {
			receive(t, e)
		}
	})
}

// Append appends, and records the entry.
func (b watchedBroker) Append(ctx context.Context, t hub.Topic, payload []byte, keep hub.Keep) (hub.Entry, error) {
	e, err := b.SoakBroker.Append(ctx, t, payload, keep)
	if err == nil {
		if f, ok := parseFrame(payload); ok {
			b.soak.ledger.record(t.Name, e.Position, f.soakMessage)
			b.soak.ledger.link(t.Name, e)
		}
	}
	return e, err
}

// Read reads, and records what precedes the entries.
func (b watchedBroker) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	entries, newest, err := b.SoakBroker.Read(ctx, t, after, limit)
	for _, e := range entries {
		b.soak.ledger.link(t.Name, e)
	}
	return entries, newest, err
}
