package hub

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errNoLease = errors.New("hub: node has no lease")

// memoryPresence is what a [Memory] keeps as a [PresenceBroker].
type memoryPresence struct {
	mu     sync.Mutex
	leases map[string]*memoryLease // by node
}

// A memoryLease is a node and what it has put into rooms.
type memoryLease struct {
	expires time.Time
	rooms   map[Topic]*memoryEntries // none is empty
}

type memoryEntries struct {
	revision uint64
	values   map[string][]byte // by key
}

var _ PresenceBroker = (*memoryNode)(nil)

// presence locks what the network keeps of presence, without nodes that have not renewed in time.
// The caller must call unlock, unless there is an error.
func (n *memoryNode) presence(ctx context.Context) (p *memoryPresence, unlock func(), err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	if n.closed.Load() {
		return nil, nil, errBrokerClosed
	}
	p = &n.network.presence
	p.mu.Lock()
	now := time.Now()
	for node, lease := range p.leases {
		if !now.Before(lease.expires) {
			delete(p.leases, node)
		}
	}
	return p, p.mu.Unlock, nil
}

func (n *memoryNode) RenewNode(ctx context.Context, node string, ttl time.Duration) (Lease, error) {
	p, unlock, err := n.presence(ctx)
	if err != nil {
		return Lease{}, err
	}
	defer unlock()
	lease := p.leases[node]
	isNew := lease == nil
	if isNew {
		if p.leases == nil {
			p.leases = make(map[string]*memoryLease)
		}
		lease = &memoryLease{rooms: make(map[Topic]*memoryEntries)}
		p.leases[node] = lease
	}
	lease.expires = time.Now().Add(ttl)
	nodes := make([]string, 0, len(p.leases))
	for other := range p.leases {
		nodes = append(nodes, other)
	}
	return Lease{New: isNew, Nodes: nodes}, nil
}

func (n *memoryNode) PutPresence(ctx context.Context, room Topic, node string, revision uint64, changes []PresenceEntry) error {
	p, unlock, err := n.presence(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	lease := p.leases[node]
	if lease == nil {
		return errNoLease
	}
	entries := lease.rooms[room]
	if entries == nil {
		entries = &memoryEntries{values: make(map[string][]byte)}
		lease.rooms[room] = entries
	}
	if revision >= entries.revision {
		entries.put(revision, changes)
	}
	if len(entries.values) == 0 {
		delete(lease.rooms, room)
	}
	return nil
}

func (e *memoryEntries) put(revision uint64, changes []PresenceEntry) {
	e.revision = revision
	for _, c := range changes {
		if c.Value == nil {
			delete(e.values, c.Key)
		} else {
			e.values[c.Key] = c.Value
		}
	}
}

func (n *memoryNode) ListPresence(ctx context.Context, room Topic) ([]NodePresence, error) {
	p, unlock, err := n.presence(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []NodePresence
	for node, lease := range p.leases {
		entries := lease.rooms[room]
		if entries == nil {
			continue
		}
		np := NodePresence{Node: node, Revision: entries.revision, Entries: make([]PresenceEntry, 0, len(entries.values))}
		for key, value := range entries.values {
			np.Entries = append(np.Entries, PresenceEntry{Key: key, Value: value})
		}
		list = append(list, np)
	}
	return list, nil
}

func (n *memoryNode) PresenceRevisions(ctx context.Context, rooms []Topic) ([]map[string]uint64, error) {
	p, unlock, err := n.presence(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	revisions := make([]map[string]uint64, len(rooms))
	for i, room := range rooms {
		for node, lease := range p.leases {
			if entries := lease.rooms[room]; entries != nil {
				if revisions[i] == nil {
					revisions[i] = make(map[string]uint64)
				}
				revisions[i][node] = entries.revision
			}
		}
	}
	return revisions, nil
}

func (n *memoryNode) RemoveNode(ctx context.Context, node string) error {
	p, unlock, err := n.presence(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	delete(p.leases, node)
	return nil
}
