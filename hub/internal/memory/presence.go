package memory

import (
	"errors"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
)

// ErrNoLease is the error of a node that has no lease, when it puts entries.
var ErrNoLease = errors.New("hub: node has no lease")

// Presence is which nodes live, and what they have put into topics: rooms, for a hub.
type Presence[T comparable] struct {
	mu     sync.Mutex
	leases map[string]*lease[T] // by node
}

// A lease is a node and what it has put into rooms.
type lease[T comparable] struct {
	expires time.Time
	rooms   map[T]*entries // none is empty
}

type entries struct {
	revision uint64
	values   map[string][]byte // by key
}

// lock locks the mutex, and drops the nodes that have not renewed in time.
func (p *Presence[T]) lock() {
	p.mu.Lock()
	now := time.Now()
	for node, l := range p.leases {
		if !now.Before(l.expires) {
			delete(p.leases, node)
		}
	}
}

// Renew says that a node lives, for ttl from now.
func (p *Presence[T]) Renew(node string, ttl time.Duration) roster.Lease {
	p.lock()
	defer p.mu.Unlock()
	l := p.leases[node]
	isNew := l == nil
	if isNew {
		if p.leases == nil {
			p.leases = make(map[string]*lease[T])
		}
		l = &lease[T]{rooms: make(map[T]*entries)}
		p.leases[node] = l
	}
	l.expires = time.Now().Add(ttl)
	nodes := make([]string, 0, len(p.leases))
	for other := range p.leases {
		nodes = append(nodes, other)
	}
	return roster.Lease{New: isNew, Nodes: nodes}
}

// Put changes entries of a node in a room, and the revision of the node there. A call with an older
// revision than the room has of the node changes nothing. The error is ErrNoLease.
func (p *Presence[T]) Put(room T, node string, revision uint64, changes []roster.Entry) error {
	p.lock()
	defer p.mu.Unlock()
	l := p.leases[node]
	if l == nil {
		return ErrNoLease
	}
	e := l.rooms[room]
	if e == nil {
		e = &entries{values: make(map[string][]byte)}
		l.rooms[room] = e
	}
	if revision >= e.revision {
		e.put(revision, changes)
	}
	if len(e.values) == 0 {
		delete(l.rooms, room)
	}
	return nil
}

func (e *entries) put(revision uint64, changes []roster.Entry) {
	e.revision = revision
	for _, c := range changes {
		if c.Value == nil {
			delete(e.values, c.Key)
		} else {
			e.values[c.Key] = c.Value
		}
	}
}

// List returns the entries in a room of all nodes that live.
func (p *Presence[T]) List(room T) (list []roster.NodeEntries) {
	p.lock()
	defer p.mu.Unlock()
	for node, l := range p.leases {
		e := l.rooms[room]
		if e == nil {
			continue
		}
		n := roster.NodeEntries{Node: node, Revision: e.revision, Entries: make([]roster.Entry, 0, len(e.values))}
		for key, value := range e.values {
			n.Entries = append(n.Entries, roster.Entry{Key: key, Value: value})
		}
		list = append(list, n)
	}
	return list
}

// Revisions returns the revisions of the nodes that live and have entries, for each of some rooms.
func (p *Presence[T]) Revisions(rooms []T) []map[string]uint64 {
	p.lock()
	defer p.mu.Unlock()
	revisions := make([]map[string]uint64, len(rooms))
	for i, room := range rooms {
		for node, l := range p.leases {
			if e := l.rooms[room]; e != nil {
				if revisions[i] == nil {
					revisions[i] = make(map[string]uint64)
				}
				revisions[i][node] = e.revision
			}
		}
	}
	return revisions
}

// Remove drops a node and its entries.
func (p *Presence[T]) Remove(node string) {
	p.lock()
	defer p.mu.Unlock()
	delete(p.leases, node)
}
