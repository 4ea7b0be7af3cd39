package hub

import "time"

// PresenceOptions switch presence on: who is in a room, on all nodes. The zero value is ready to use.
// All nodes should have the same options.
//
// A person is a key in a room: see [Member.SetKey]. All members with the key are one person, whichever
// nodes they are on; members without a key are not told of, but they are told. The functions must not
// change the slices and values that they are given, nor call runtime.Goexit or [Hub.Shutdown]. The hub
// holds no lock when it calls them; a panic is recovered, and slog's default logger gets it.
type PresenceOptions struct {
	// Rooms says which rooms have presence. It is called when a room gets a member, from any
	// goroutine, and always gives the same answer for a room. Nil means all rooms.
	Rooms func(room string) bool

	// Grace is how long a person stays whose last connection has ended, so that a page that is
	// loaded again is not told of as gone and come. Zero means 5 seconds; negative means none. A
	// person whose members leave the room, or change their key, is gone at once.
	Grace time.Duration

	// TTL is how long a node may be silent before its people are taken for gone. They are gone
	// within one and a quarter of it after the node has died, and what is lost on the way between
	// nodes is mended within two and a half times the TTL. Calls of the broker that are slow or fail
	// add to both. A node that can't reach the broker for this long shows
	// only its own people, until it can. Zero means 15 seconds; the least is one second.
	TTL time.Duration

	// MaxValue limits the value of a person, in bytes: see [Member.SetPresence]. Zero means 1 KiB.
	MaxValue int

	// OnChange is called for each change in a room that has members on this node, in order, on the
	// goroutine that calls the [Observer]: what holds for its functions holds for OnChange. Every
	// node with members in the room is told. May be nil.
	OnChange func(PresenceChange)

	// List returns the message with the people in a room, sorted by key, that each member gets when
	// it has entered. The changes that the member gets afterwards begin exactly where the list ends.
	// The hub may send one list to several members, with the changes since. If Changes is nil, a list of
	// more than 100 people may be a second old. The hub calls List from any goroutine, concurrently. If
	// List is nil, or returns the zero Message, the hub sends no list. A message that can't be sent, such
	// as one that is longer than Options.Queue allows, is logged.
	List func(room string, people []Person) Message

	// Changes returns the message that all members of a room get when people have come, changed or
	// gone: usually one change, or several that came at about the same time, with at most one for
	// each person. If Changes is nil, or returns the zero Message, the hub sends none. A member that
	// is too slow for a list or for changes is disconnected, unless Options.WhenFull or the message
	// says otherwise: then what it knows of the room is wrong from then on.
	Changes func(room string, changes []PresenceChange) Message
}

// A Person is present in a room: at least one member with the key is in the room, on any node, or was
// a moment ago.
type Person struct {
	Key   string
	Value []byte // of SetPresence; nil if it is empty
}

// A PresenceChange says what has become of a person in a room.
type PresenceChange struct {
	Room string
	Kind PresenceKind
	Person
}

// A PresenceKind is the kind of a [PresenceChange].
type PresenceKind int

const (
	// PersonJoined is the kind of a person that was not present before.
	PersonJoined PresenceKind = iota + 1
	// PersonUpdated is the kind of a person that is present and has a new value.
	PersonUpdated
	// PersonLeft is the kind of a person that is not present any more, with its last value.
	PersonLeft
)

// String returns "joined", "updated" or "left".
func (k PresenceKind) String() string {
	switch k {
	case PersonJoined:
		return "joined"
	case PersonUpdated:
		return "updated"
	case PersonLeft:
		return "left"
	default:
		return "unknown"
	}
}

// MarshalText returns what String does, for JSON.
func (k PresenceKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

const (
	defaultGrace    = 5 * time.Second
	defaultTTL      = 15 * time.Second
	leastTTL        = time.Second
	defaultMaxValue = 1 << 10
)

func (o PresenceOptions) withDefaults() PresenceOptions {
	switch {
	case o.Grace == 0:
		o.Grace = defaultGrace
	case o.Grace < 0:
		o.Grace = 0
	}
	switch {
	case o.TTL <= 0:
		o.TTL = defaultTTL
	case o.TTL < leastTTL:
		o.TTL = leastTTL
	}
	if o.MaxValue <= 0 {
		o.MaxValue = defaultMaxValue
	}
	return o
}
