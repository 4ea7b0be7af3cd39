package hub

import (
	"context"
	"errors"
	"time"
)

// ErrNoPresence is the error of a hub that keeps no presence: Options.Presence is nil, or the Broker is
// no [PresenceBroker]. A PresenceBroker that can keep none, because of how it is set up, returns it
// from RenewNode, wrapped or not.
var ErrNoPresence = errors.New("hub: no presence is kept")

// A PresenceBroker is a [Broker] that keeps which people each node has in which rooms, as long as the
// node lives. What one node knows of another is in here and in what the hubs publish to each other:
// the hub publishes each change after it has put it here. The hub calls the methods from any
// goroutine, concurrently, and holds no lock. The package brokertest has tests for these rules.
type PresenceBroker interface {
	Broker

	// RenewNode says that a node lives, for ttl from now. The hub calls it at least three times in
	// that time. The broker drops a node that has not renewed in time, with its entries in all
	// rooms, and says in Lease.New that it did.
	RenewNode(ctx context.Context, node string, ttl time.Duration) (Lease, error)

	// PutPresence changes entries of a node in a room, all at one moment, and the revision of the
	// node in this room. Calls for one node and room follow one another, with growing revisions, but
	// not always by one; one that fails may be repeated with the same revision and changes. A call
	// that comes late, with an older revision than the room has of the node, changes nothing. It is
	// an error if the node has no lease. The broker may retain the changes but must not change them.
	PutPresence(ctx context.Context, room Topic, node string, revision uint64, changes []PresenceEntry) error

	// ListPresence returns the entries in a room of all nodes that live, in any order. A node that
	// has no entry there may be missing. The hub does not change what it is given.
	ListPresence(ctx context.Context, room Topic) ([]NodePresence, error)

	// PresenceRevisions returns the revision of each node that lives, for each of some rooms, in
	// their order. A node that has no entry in a room may be missing, so that a broker need keep
	// nothing of it.
	PresenceRevisions(ctx context.Context, rooms []Topic) ([]map[string]uint64, error)

	// RemoveNode drops a node and its entries in all rooms. A node without a lease is no error.
	RemoveNode(ctx context.Context, node string) error
}

// A Lease is what [PresenceBroker].RenewNode returns.
type Lease struct {
	// New is true if the node had no lease: it is new, or it was dropped. None of its entries is
	// kept then.
	New bool
	// Nodes are all nodes that live, this one too.
	Nodes []string
}

// A PresenceEntry is what a node says of one person in a room.
type PresenceEntry struct {
	Key string
	// Value is opaque for the broker. In a change, nil removes the entry; an empty value that is
	// not nil is a value.
	Value []byte
}

// NodePresence is the people whom one node has in a room.
type NodePresence struct {
	Node     string
	Revision uint64
	Entries  []PresenceEntry
}
