package hub

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub/internal/claim"
)

// A Hub sends messages to many connections: to the members of a room, the members with a key, or all
// members.
// [New] makes one; the zero value is not usable. Its methods may be called from any goroutine.
type Hub struct {
	options  Options
	slow     *slow  // for messages without one of their own; nil unless WhenFull is DropOldest
	node     string // the first part of the members' IDs
	everyone *group

	// The order of locking: a member's mutex, mu, lifeMu, unionMu, a presentRoom's mutex, a
	// group's or the roster's.
	mu       sync.RWMutex
	rooms    map[string]*group
	keys     map[string]*group
	numbers  atomic.Uint64               // the number of the newest member
	byNumber map[uint64]*Member          // nil until an ID is looked up
	byConn   map[*websocket.Conn]*Member // nil until a connection is looked up

	claims   claim.Claims[*Member]
	events   events
	history  *history  // nil if no room has one
	presence *presence // nil if none is kept

	unionMu sync.Mutex // held while several groups are locked, so that no other order is possible

	lifeMu  sync.Mutex
	closed  bool                        // Shutdown has begun; written with both mu and lifeMu held
	running sync.WaitGroup              // the goroutines of start and close
	closing map[*Member]<-chan struct{} // the members that close is disconnecting; see close

	closeBroker  func() error
	brokerClosed atomic.Bool

	dropped, replaced, disconnected atomic.Uint64 // see Stats
}

// New returns a Hub. It opens the Broker, if the options have one. Call [Hub.Shutdown] to
// release it.
func New(options Options) *Hub {
	h := &Hub{
		options: options,
		node:    newNode(),
		rooms:   make(map[string]*group),
		keys:    make(map[string]*group),
		closing: make(map[*Member]<-chan struct{}),
	}
	h.events.observer = options.Observer
	if options.WhenFull == DropOldest {
		h.slow = newSlow("", false, DropOldest)
	}
	h.everyone = newGroup(h, Everyone())
	h.presence = newPresence(h, options.Presence, options.Broker)
	if h.presence != nil {
		h.events.onChange = options.Presence.OnChange
	}
	if options.Broker != nil {
		h.options.Broker = recoveringBroker{options.Broker}
		h.closeBroker = sync.OnceValue(h.options.Broker.Close)
		h.options.Broker.Open(h.receive)
	}
	h.history = h.openHistory(options.Broker)
	return h
}

// Join makes a connection a member of the hub and adds it to rooms, if any. Call it at most once
// for each connection, before Serve or in it; the member leaves by itself when the connection
// begins to end. Join returns the same errors as [Member.Join]; after an error, the connection
// is not a member.
func (h *Hub) Join(conn *websocket.Conn, rooms ...string) (*Member, error) {
	m := &Member{hub: h, conn: conn, number: h.numbers.Add(1)}
	_, err := m.enter(Everyone())
	if err == nil {
		err = m.Join(rooms...)
	}
	if err == nil {
		err = m.leaveBeforeClose()
	}
	if err != nil {
		m.leave()
		return nil, err
	}
	return m, nil
}

// groups returns the map for the groups of a kind, nil for others.
func (h *Hub) groups(k Kind) map[string]*group {
	switch k {
	case KindRoom:
		return h.rooms
	case KindKey:
		return h.keys
	default:
		return nil
	}
}

// group returns the group of a topic, nil if it has no members.
func (h *Hub) group(t Topic) *group {
	if t.Kind == KindEveryone {
		return h.everyone
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.groupLocked(t)
}

// check returns why a message can't be sent to any member, or nil.
func (h *Hub) check(message Message) error {
	if err := message.check(); err != nil {
		return err
	}
	if n := len(message.encoded.Data()); !h.options.Queue.Allows(1, n+n>>10+maxFrameOverhead) {
		return ErrTooLong
	}
	return nil
}

// start runs f in a goroutine that Shutdown waits for. Once Shutdown has begun, it returns false
// and does not call f.
func (h *Hub) start(f func()) bool {
	h.lifeMu.Lock()
	defer h.lifeMu.Unlock()
	if !h.closed {
		h.running.Go(f)
	}
	return !h.closed
}

// Rooms returns the sorted names of the rooms that have members on this node.
func (h *Hub) Rooms() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Sorted(maps.Keys(h.rooms))
}

// Keys returns the sorted keys of the members on this node.
func (h *Hub) Keys() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Sorted(maps.Keys(h.keys))
}

// Members returns all members on this node, in the order in which they joined.
func (h *Hub) Members() []*Member { return h.everyone.all() }

// In returns the members in a room on this node, in the order in which they entered it.
func (h *Hub) In(room string) []*Member { return h.group(Room(room)).all() }

// WithKey returns the members on this node that have a key, in the order in which they got it.
func (h *Hub) WithKey(key string) []*Member { return h.group(Key(key)).all() }

// CountIn returns the number of members in a room on this node.
func (h *Hub) CountIn(room string) int { return h.group(Room(room)).len() }

// Stats are counters of a [Hub], for this node only.
type Stats struct {
	// The current numbers of members, of rooms with members, and of keys with members.
	Members, Rooms, Keys int

	// Dropped is the number of messages, since New, that did not fit into a member's queue, or
	// were dropped from it to make room. A message that several members miss counts several
	// times.
	Dropped uint64

	// Replaced is the number of messages, since New, that a later message about the same
	// subject has replaced in a member's queue: see Message.Latest.
	Replaced uint64

	// Disconnected is the number of members, since New, that were disconnected because their
	// queues were full.
	Disconnected uint64
}

// Stats returns the current counters.
func (h *Hub) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return Stats{
		Members:      h.everyone.len(),
		Rooms:        len(h.rooms),
		Keys:         len(h.keys),
		Dropped:      h.dropped.Load(),
		Replaced:     h.replaced.Load(),
		Disconnected: h.disconnected.Load(),
	}
}
