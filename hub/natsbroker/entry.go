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
	b.arrived(t, m, entryBefore{seq: previous})
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

// An entryBefore is what the node knows of the entry before one.
type entryBefore struct {
	seq  uint64
	keep string // what its keepHeader says
}

// expectArrival returns a channel that gets the entry before one of this node, if the node knows it.
// The channel is nil if the node is not subscribed.
func (b *JetStreamBroker) expectArrival(t hub.Topic, id string) <-chan entryBefore {
	if _, subscribed := b.wanted(b.subject(t)); !subscribed {
		return nil
	}
	b.appending.Lock()
	defer b.appending.Unlock()
	before := make(chan entryBefore, 1)
	b.appending.waiting[id] = before
	return before
}

func (b *JetStreamBroker) forgetArrival(id string) {
	b.appending.Lock()
	defer b.appending.Unlock()
	delete(b.appending.waiting, id)
}

// arrived tells the call of Append whose entry has arrived what was before it. Its sequence is 0 where
// the node has not seen that.
func (b *JetStreamBroker) arrived(t hub.Topic, m *nats.Msg, before entryBefore) {
	before.keep = b.lastKeep(t, before.seq, number(m, jetstream.SequenceHeader), m.Header.Get(keepHeader))
	if before.keep == "" {
		before.seq = 0
	}
	b.appending.Lock()
	defer b.appending.Unlock()
	id := m.Header.Get(jetstream.MsgIDHeader)
	if waiting := b.appending.waiting[id]; waiting != nil {
		waiting <- before // it has room: nobody else gets the channel
		delete(b.appending.waiting, id)
	}
}

// lastKeep notes what the newest entry of a topic says that is kept, and returns what the one before it
// said, nothing if that is not known.
func (b *Broker) lastKeep(t hub.Topic, previous, seq uint64, keep string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subjects[b.subject(t)]
	if s == nil {
		return ""
	}
	was := s.last
	s.last = entryBefore{seq, keep}
	if was.seq != previous {
		return ""
	}
	return was.keep
}
