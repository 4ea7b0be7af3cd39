package hub

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/memory"
	"github.com/goyave-contrib/websocket/hub/internal/roster"
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

	presence  memory.Presence[Topic]
	histories memory.Histories[Topic]
}

// Node returns a broker for one more hub.
func (m *Memory) Node() Broker { return &memoryNode{network: m} }

func (m *Memory) subscribed(t Topic) []*memoryNode {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.nodes[t]
}

func (m *Memory) isSubscribed(t Topic) bool { return len(m.subscribed(t)) > 0 }

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
	_ HistoryBroker      = (*memoryNode)(nil)
	_ PresenceBroker     = (*memoryNode)(nil)
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

// usable returns why a call of the node can't be made, or nil.
func (n *memoryNode) usable(ctx context.Context) error {
	if n.closed.Load() {
		return errBrokerClosed
	}
	return context.Cause(ctx)
}

func (n *memoryNode) OpenHistory(receive func(t Topic, e Entry)) { n.receiveEntry = receive }

// Append also delivers the entry to the hub that appends it.
func (n *memoryNode) Append(ctx context.Context, t Topic, payload []byte, keep Keep) (Entry, error) {
	if err := n.usable(ctx); err != nil {
		return Entry{}, err
	}
	m := n.network
	kept := memory.Keep{Messages: keep.Messages, Age: keep.age()}
	e := m.histories.Append(t, payload, kept, m.isSubscribed, func(e memory.Entry) {
		for _, node := range m.subscribed(t) {
			node.deliverEntry(t, entryOf(e))
		}
	})
	return entryOf(e), nil
}

func (n *memoryNode) deliverEntry(t Topic, e Entry) {
	n.receiving.Lock()
	defer n.receiving.Unlock()
	if !n.closed.Load() && n.receiveEntry != nil {
		n.receiveEntry(t, e)
	}
}

func (n *memoryNode) Read(ctx context.Context, t Topic, after Position, limit int) ([]Entry, Position, error) {
	if err := n.usable(ctx); err != nil {
		return nil, Position{}, err
	}
	list, newest, ok := n.network.histories.Read(t, memory.Position(after), limit, n.network.isSubscribed)
	if !ok {
		return nil, Position(newest), ErrHistoryLost
	}
	var entries []Entry
	for _, e := range list {
		entries = append(entries, entryOf(e))
	}
	return entries, Position(newest), nil
}

func entryOf(e memory.Entry) Entry {
	return Entry{Position: Position(e.Position), Previous: e.Previous, Payload: e.Payload}
}

func (n *memoryNode) RenewNode(ctx context.Context, node string, ttl time.Duration) (Lease, error) {
	if err := n.usable(ctx); err != nil {
		return Lease{}, err
	}
	return Lease(n.network.presence.Renew(node, ttl)), nil
}

func (n *memoryNode) PutPresence(ctx context.Context, room Topic, node string, revision uint64, changes []PresenceEntry) error {
	if err := n.usable(ctx); err != nil {
		return err
	}
	return n.network.presence.Put(room, node, revision, convert[roster.Entry](changes))
}

func (n *memoryNode) ListPresence(ctx context.Context, room Topic) ([]NodePresence, error) {
	if err := n.usable(ctx); err != nil {
		return nil, err
	}
	list := n.network.presence.List(room)
	nodes := make([]NodePresence, len(list))
	for i, n := range list {
		nodes[i] = NodePresence{Node: n.Node, Revision: n.Revision, Entries: convert[PresenceEntry](n.Entries)}
	}
	return nodes, nil
}

func (n *memoryNode) PresenceRevisions(ctx context.Context, rooms []Topic) ([]map[string]uint64, error) {
	if err := n.usable(ctx); err != nil {
		return nil, err
	}
	return n.network.presence.Revisions(rooms), nil
}

func (n *memoryNode) RemoveNode(ctx context.Context, node string) error {
	if err := n.usable(ctx); err != nil {
		return err
	}
	n.network.presence.Remove(node)
	return nil
}
