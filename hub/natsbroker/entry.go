package natsbroker

import (
	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// OpenHistory starts to pass entries to the hub, which calls it. Until then, members get them as
// messages without history.
func (b *JetStreamBroker) OpenHistory(receive func(t hub.Topic, e hub.Entry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.receiveEntry = receive
}

// receiveStored passes an entry, which the stream has published again, to the hub. It reports whether the
// message is one.
func (b *JetStreamBroker) receiveStored(t hub.Topic, m *nats.Msg) bool {
	if len(m.Header) == 0 {
		return false
	}
	stream, seq := m.Header.Get(jetstream.StreamHeader), number(m, jetstream.SequenceHeader)
	if stream == "" || seq == 0 {
		return false
	}
	b.mu.Lock()
	receive := b.receiveEntry
	b.mu.Unlock()
	if receive == nil {
		return false
	}
	previous := number(m, jetstream.LastSequenceHeader)
	b.history.saw(stream, seq)
	b.arrived(m.Header.Get(jetstream.MsgIDHeader), previous)
	receive(t, hub.Entry{
		Position: hub.Position{Epoch: b.epoch(stream), Offset: seq},
		Previous: previous, Payload: b.payload(m.Data),
	})
	return true
}

// payload returns what follows the origin of a message, nothing if that is missing.
func (b *Broker) payload(data []byte) []byte {
	if len(data) < len(b.self) {
		return nil
	}
	return data[len(b.self):]
}

// expectArrival returns a channel that gets what an entry of this node says of the one before it. It
// is nil if the node is not subscribed.
func (b *JetStreamBroker) expectArrival(t hub.Topic, id string) <-chan uint64 {
	if _, subscribed := b.wanted(b.subject(t)); !subscribed {
		return nil
	}
	b.appending.Lock()
	defer b.appending.Unlock()
	previous := make(chan uint64, 1)
	b.appending.previous[id] = previous
	return previous
}

func (b *JetStreamBroker) forgetArrival(id string) {
	b.appending.Lock()
	defer b.appending.Unlock()
	delete(b.appending.previous, id)
}

func (b *JetStreamBroker) arrived(id string, previous uint64) {
	b.appending.Lock()
	defer b.appending.Unlock()
	if waiting := b.appending.previous[id]; waiting != nil {
		waiting <- previous // it has room: an entry arrives once
		delete(b.appending.previous, id)
	}
}
