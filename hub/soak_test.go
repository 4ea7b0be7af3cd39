package hub_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
)

// The nodes are in one process, on a network that loses messages, cuts nodes off and forgets everything.
func TestSoak(t *testing.T) {
	silenceSlog(t)
	network := &memoryNetwork{memory: new(hub.Memory)}
	brokertest.Soak(t, brokertest.SoakRig{
		Node: func() brokertest.SoakNode {
			b := network.node()
			return brokertest.SoakNode{
				Broker:  b,
				Cut:     func() { b.isCut.Store(true) },
				Restore: func() { b.isCut.Store(false) },
				Release: func() { network.remove(b) },
			}
		},
		Faults: []brokertest.SoakFault{
			{Name: "messages are lost on their way", Begin: func() { network.loses.Store(true) }, End: func() { network.loses.Store(false) }},
			{Name: "the network is away", Begin: func() { network.isAway.Store(true) }, End: func() { network.isAway.Store(false) }},
			{
				Name: "everything is forgotten", LosesHistory: true,
				Begin: func() { network.isAway.Store(true) },
				End: func() {
					network.forget()
					network.isAway.Store(false)
				},
			},
		},
	})
}

// A memoryNetwork is a Memory with faults.
type memoryNetwork struct {
	loses, isAway atomic.Bool

	mu     sync.Mutex
	memory *hub.Memory
	nodes  map[*memoryFaults]bool
}

func (w *memoryNetwork) node() *memoryFaults {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := &memoryFaults{network: w, topics: make(map[hub.Topic]bool)}
	if w.nodes == nil {
		w.nodes = make(map[*memoryFaults]bool)
	}
	w.nodes[b] = true
	b.current = w.memory.Node().(brokertest.SoakBroker) //nolint:errcheck // it is
	return b
}

func (w *memoryNetwork) remove(b *memoryFaults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, b)
}

// forget connects all nodes anew.
func (w *memoryNetwork) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory = new(hub.Memory)
	for b := range w.nodes {
		b.replace(w.memory.Node().(brokertest.SoakBroker)) //nolint:errcheck // it is
	}
}

// A memoryFaults is a node of the Memory that the network is at the moment.
type memoryFaults struct {
	network      *memoryNetwork
	isCut        atomic.Bool
	receive      func(hub.Topic, []byte)
	receiveEntry func(hub.Topic, hub.Entry)

	mu      sync.Mutex
	current brokertest.SoakBroker
	topics  map[hub.Topic]bool
	closed  bool
}

// replace takes the place of the node. Calls of receive by the earlier one have ended by then.
func (b *memoryFaults) replace(node brokertest.SoakBroker) {
	old := b.node()
	_ = old.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = node
	if b.closed {
		return
	}
	b.open(node)
	for t := range b.topics {
		_ = node.Subscribe(t)
	}
}

func (b *memoryFaults) node() brokertest.SoakBroker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current
}

func (b *memoryFaults) open(node brokertest.SoakBroker) {
	node.Open(func(t hub.Topic, payload []byte) {
		if !b.isLost() {
			b.receive(t, payload)
		}
	})
	node.OpenHistory(func(t hub.Topic, e hub.Entry) {
		if !b.isLost() {
			b.receiveEntry(t, e)
		}
	})
}

func (b *memoryFaults) isLost() bool {
	return b.err() != nil || b.network.loses.Load() && rand.IntN(3) == 0 //nolint:gosec // a test
}

func (b *memoryFaults) err() error {
	if b.isCut.Load() || b.network.isAway.Load() {
		return errAway
	}
	return nil
}

func (b *memoryFaults) Open(receive func(hub.Topic, []byte)) { b.receive = receive }

func (b *memoryFaults) OpenHistory(receive func(hub.Topic, hub.Entry)) {
	b.receiveEntry = receive
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open(b.current)
}

func (b *memoryFaults) Publish(t hub.Topic, payload []byte) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.node().Publish(t, payload)
}

func (b *memoryFaults) Subscribe(t hub.Topic) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[t] = true
	return b.current.Subscribe(t)
}

func (b *memoryFaults) Unsubscribe(t hub.Topic) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, t)
	return b.current.Unsubscribe(t)
}

func (b *memoryFaults) AwaitSubscribed(ctx context.Context) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.node().AwaitSubscribed(ctx)
}

func (b *memoryFaults) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.node().Close()
}

// Append may fail although the entry is kept.
func (b *memoryFaults) Append(ctx context.Context, t hub.Topic, payload []byte, keep hub.Keep) (hub.Entry, error) {
	if err := b.err(); err != nil {
		return hub.Entry{}, err
	}
	e, err := b.node().Append(ctx, t, payload, keep)
	if err == nil {
		err = b.err()
	}
	return e, err
}

func (b *memoryFaults) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	if err := b.err(); err != nil {
		return nil, hub.Position{}, err
	}
	return b.node().Read(ctx, t, after, limit)
}

func (b *memoryFaults) RenewNode(ctx context.Context, node string, ttl time.Duration) (hub.Lease, error) {
	if err := b.err(); err != nil {
		return hub.Lease{}, err
	}
	return b.node().RenewNode(ctx, node, ttl)
}

func (b *memoryFaults) PutPresence(ctx context.Context, room hub.Topic, node string, revision uint64, changes []hub.PresenceEntry) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.node().PutPresence(ctx, room, node, revision, changes)
}

func (b *memoryFaults) ListPresence(ctx context.Context, room hub.Topic) ([]hub.NodePresence, error) {
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.node().ListPresence(ctx, room)
}

func (b *memoryFaults) PresenceRevisions(ctx context.Context, rooms []hub.Topic) ([]map[string]uint64, error) {
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.node().PresenceRevisions(ctx, rooms)
}

func (b *memoryFaults) RemoveNode(ctx context.Context, node string) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.node().RemoveNode(ctx, node)
}
