package hub

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

var errBrokerClosed = errors.New("hub: broker is closed")

// Memory connects hubs in one process, for tests and as a model for other brokers. The zero
// value is ready to use. Its methods may be called from any goroutine.
//
//	var network hub.Memory
//	one := hub.New(hub.Options{Broker: network.Node()})
//	two := hub.New(hub.Options{Broker: network.Node()})
//
// When a hub's call returns, its message has been delivered to the other hubs.
//
// A Memory keeps the history of rooms for as long as it exists itself. It forgets a room with the
// last message that it keeps, when no hub is subscribed to the room any more.
type Memory struct {
	mu sync.RWMutex
	// The subscribers of each topic; every node subscribes to Everyone. The slices are replaced
	// and never changed, so that Publish can use them without the lock.
	nodes map[Topic][]*memoryNode

	presence  memoryPresence
	histories memoryHistories
}

// Node returns a broker for one more hub.
func (m *Memory) Node() Broker { return &memoryNode{network: m} }

func (m *Memory) subscribed(t Topic) []*memoryNode {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.nodes[t]
}

func (m *Memory) topics() []Topic {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Keys(m.nodes))
}

func (m *Memory) add(t Topic, n *memoryNode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes = make(map[Topic][]*memoryNode)
	}
	if !slices.Contains(m.nodes[t], n) {
		m.nodes[t] = append(slices.Clip(m.nodes[t]), n)
	}
}

func (m *Memory) remove(n *memoryNode, topics ...Topic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range topics {
		rest := slices.DeleteFunc(slices.Clone(m.nodes[t]), func(other *memoryNode) bool { return other == n })
		if len(rest) == 0 {
			delete(m.nodes, t)
			continue
		}
		m.nodes[t] = rest
	}
}

// A memoryNode is the broker of one hub.
type memoryNode struct {
	network *Memory
	receive func(t Topic, payload []byte)
	closed  atomic.Bool

	receiveEntry func(t Topic, e Entry) // nil if the hub uses no history

	// receiving is held during a call of receive or receiveEntry, so that calls do not overlap and none
	// follows Close. The network's mutex is not held then: a hub holds locks that receive
	// needs when it subscribes.
	receiving sync.Mutex
}

var (
	_ Broker             = (*memoryNode)(nil)
	_ SubscriptionWaiter = (*memoryNode)(nil)
)

func (n *memoryNode) Open(receive func(t Topic, payload []byte)) {
	n.receive = receive
	n.network.add(Everyone(), n)
}

func (n *memoryNode) Publish(t Topic, payload []byte) error {
	if n.closed.Load() {
		return errBrokerClosed
	}
	for _, other := range n.network.subscribed(t) {
		if other != n {
			other.deliver(t, payload)
		}
	}
	return nil
}

func (n *memoryNode) deliver(t Topic, payload []byte) {
	n.receiving.Lock()
	defer n.receiving.Unlock()
	if !n.closed.Load() {
		n.receive(t, payload)
	}
}

func (n *memoryNode) Subscribe(t Topic) error {
	if n.closed.Load() {
		return errBrokerClosed
	}
	n.network.add(t, n)
	return nil
}

func (n *memoryNode) AwaitSubscribed(context.Context) error {
	if n.closed.Load() {
		return errBrokerClosed
	}
	return nil // Subscribe has done it
}

func (n *memoryNode) Unsubscribe(t Topic) error {
	n.network.remove(n, t)
	return nil
}

func (n *memoryNode) Close() error {
	n.closed.Store(true)
	n.network.remove(n, n.network.topics()...)
	n.receiving.Lock() // wait for a running call of receive
	defer n.receiving.Unlock()
	return nil
}
