package roster_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errOff = errors.New("nothing is kept")

// A network has all that nodes put, and passes their notices on at once.
type network struct {
	mu    sync.Mutex
	nodes map[string]*node // those with a lease
	off   bool             // it keeps nothing
	loses bool             // notices
}

// A node is a roster, and what it told its owners.
type node struct {
	*roster.Roster
	network *network
	name    string
	entries map[string]map[string][]byte // by room and key
	last    map[string]uint64            // the revisions, by room
	owners  chan *owner                  // that are new
	failed  chan error                   // what was logged
}

type owner struct {
	room  *roster.Room
	takes chan map[string]roster.Change // by key
	idle  chan bool                     // what End has returned
}

func (o *owner) Changed() {
	list, first := o.room.Take()
	if len(list) == 0 && !first {
		return
	}
	o.room.Told(list)
	changes := make(map[string]roster.Change)
	for _, c := range list {
		changes[c.Key] = c
	}
	if _, ok := changes["panic"]; ok {
		panic("a mistake")
	}
	o.takes <- changes
}

func (o *owner) Idle() { o.idle <- o.room.End() }

// kinds returns the keys in a batch of changes with what has become of them.
func kinds(changes map[string]roster.Change) map[string]roster.ChangeKind {
	kinds := make(map[string]roster.ChangeKind)
	for key, c := range changes {
		kinds[key] = c.Kind
	}
	return kinds
}

// join returns a node of the network; of none if that is nil.
func (w *network) join(t *testing.T, name string, grace time.Duration) *node {
	t.Helper()
	n := &node{network: w, name: name, owners: make(chan *owner, 8), failed: make(chan error, 8)}
	o := roster.Options{
		Node: name, Grace: grace, TTL: time.Minute, Off: errOff,
		NewOwner: func(r *roster.Room) roster.Owner {
			o := &owner{room: r, takes: make(chan map[string]roster.Change, 64), idle: make(chan bool, 8)}
			n.owners <- o
			return o
		},
		Log: func(_ string, failure error) { n.failed <- failure },
	}
	if w != nil {
		o.Broker = n
	}
	n.Roster = roster.New(o)
	t.Cleanup(func() { assert.NoError(t, n.Shutdown(context.Background())) })
	return n
}

// enter has a member with a key enter a room.
func (n *node) enter(room, key string) *roster.Room {
	r := n.Enter(room, true)
	if r != nil {
		n.MoveKey(nil, "", key)
		r.Join(key)
	}
	return r
}

// exit has the last member, which has a key, leave a room, for good or because its connection has ended.
func (n *node) exit(r *roster.Room, key string, mayComeBack bool) {
	r.Leave(key, mayComeBack)
	r.Vacate()
	n.MoveKey(nil, key, "")
}

func (n *node) AwaitSubscribed(context.Context) error { return nil }

func (n *node) RenewNode(context.Context, string, time.Duration) (roster.Lease, error) {
	w := n.network
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off {
		return roster.Lease{}, errOff
	}
	isNew := w.nodes[n.name] == nil
	if isNew {
		n.entries, n.last = make(map[string]map[string][]byte), make(map[string]uint64)
		if w.nodes == nil {
			w.nodes = make(map[string]*node)
		}
		w.nodes[n.name] = n
	}
	return roster.Lease{New: isNew, Nodes: slices.Collect(maps.Keys(w.nodes))}, nil
}

func (n *node) PutPresence(_ context.Context, room, _ string, revision uint64, changes []roster.Entry) error {
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	if n.entries[room] == nil {
		n.entries[room] = make(map[string][]byte)
	}
	n.last[room] = revision
	for _, c := range changes {
		if c.Value == nil {
			delete(n.entries[room], c.Key)
		} else {
			n.entries[room][c.Key] = c.Value
		}
	}
	return nil
}

func (n *node) ListPresence(_ context.Context, room string) (list []roster.NodeEntries, err error) {
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	for name, other := range n.network.nodes {
		entries := roster.NodeEntries{Node: name, Revision: other.last[room]}
		for key, value := range other.entries[room] {
			entries.Entries = append(entries.Entries, roster.Entry{Key: key, Value: value})
		}
		list = append(list, entries)
	}
	return list, nil
}

func (n *node) PresenceRevisions(_ context.Context, rooms []string) ([]map[string]uint64, error) {
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	revisions := make([]map[string]uint64, len(rooms))
	for i, room := range rooms {
		revisions[i] = make(map[string]uint64)
		for name, other := range n.network.nodes {
			if revision := other.last[room]; revision > 0 {
				revisions[i][name] = revision
			}
		}
	}
	return revisions, nil
}

func (n *node) RemoveNode(_ context.Context, name string) error {
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	delete(n.network.nodes, name)
	return nil
}

func (n *node) Publish(notice roster.Notice) error {
	n.network.mu.Lock()
	others := maps.Clone(n.network.nodes)
	loses := n.network.loses
	n.network.mu.Unlock()
	for _, other := range others {
		if other != n && !loses {
			other.Receive(notice)
		}
	}
	return nil
}
