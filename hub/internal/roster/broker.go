package roster

import (
	"context"
	"time"
)

// A Broker keeps which people each node has in which rooms, as long as the node lives, and carries
// notices between the nodes. Its methods are called from any goroutine, concurrently and with no lock
// held, and do not panic. hub.PresenceBroker has the rules.
type Broker interface {
	// AwaitSubscribed returns when this node receives what is published about the rooms that it follows,
	// and about the keys of its members.
	AwaitSubscribed(ctx context.Context) error

	RenewNode(ctx context.Context, node string, ttl time.Duration) (Lease, error)
	PutPresence(ctx context.Context, room, node string, revision uint64, changes []Entry) error
	ListPresence(ctx context.Context, room string) ([]NodeEntries, error)
	PresenceRevisions(ctx context.Context, rooms []string) ([]map[string]uint64, error)
	RemoveNode(ctx context.Context, node string) error

	// Publish sends a notice to the other nodes, which pass it to Receive.
	Publish(n Notice) error
}

// A Lease says whether the node had none before, and which nodes live.
type Lease struct {
	New   bool
	Nodes []string
}

// An Entry is what a node says of one person in a room. A nil Value removes it.
type Entry struct {
	Key   string
	Value []byte
}

// NodeEntries are the people whom one node has in a room.
type NodeEntries struct {
	Node     string
	Revision uint64
	Entries  []Entry
}

// A Notice is what a node publishes to others.
type Notice struct {
	Kind NoticeKind
	Name string // of the room, or the key; empty with NodeGone
	Body []byte // docs/hub.md has the format
}

// A NoticeKind says what a [Notice] is about, and so which nodes receive it.
type NoticeKind int

// The kinds of notices.
const (
	RoomChanged NoticeKind = iota // people of a node in a room have come, changed or gone: to those that follow it
	ValueSet                      // the value of a person, or, if it was never set, a question for it: to those that have the key
	NodeGone                      // a node has been shut down: to all
)

// An Owner is the layer above, for one room. It is called from a goroutine of the roster's, with no lock
// held.
type Owner interface {
	// Changed is called when there is something to take: see Room.Take. The next call follows when
	// this one has returned.
	Changed()
	// Idle is called when the room may end, if there is a Broker. The owner calls Room.End, and ends the
	// subscription if the room has.
	Idle()
}
