package hub

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/goyave-contrib/websocket"
)

// Hub is connections to send to, by room and by key. Make one with [New]; its methods
// may be called from any goroutine.
type Hub struct {
	options  Options
	everyone *group

	// The mutexes are taken in this order: a member's, mu, life, a group's.
	mu    sync.RWMutex
	rooms map[string]*group
	keys  map[string]*group

	life    sync.Mutex
	closed  bool                        // Shutdown has begun; set with mu held, too
	running sync.WaitGroup              // what start and close have started
	closing map[*Member]<-chan struct{} // those whose connections close is closing

	closeBroker func() error
	offline     atomic.Bool // the broker is closed

	dropped, slow atomic.Uint64
}

// New returns a Hub.
func New(options Options) *Hub {
	h := &Hub{
		options: options,
		rooms:   make(map[string]*group),
		keys:    make(map[string]*group),
		closing: make(map[*Member]<-chan struct{}),
	}
	h.everyone = newGroup(h, Topic{Kind: Everyone})
	if options.Broker != nil {
		h.options.Broker = strictBroker{options.Broker}
		h.closeBroker = sync.OnceValue(h.options.Broker.Close)
		h.options.Broker.Open(h.receive)
	}
	return h
}

// Join makes a connection a member, in the given rooms. It may be called before or in
// Serve, once; the member leaves when the connection begins to end. Errors are those of
// [Member.Join]; the connection is no member then.
func (h *Hub) Join(conn *websocket.Conn, rooms ...string) (*Member, error) {
	m := &Member{hub: h, conn: conn}
	_, err := m.enter(Topic{Kind: Everyone})
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

// groups returns where the groups of a kind are.
func (h *Hub) groups(k Kind) map[string]*group {
	switch k {
	case Room:
		return h.rooms
	case Key:
		return h.keys
	default:
		return nil
	}
}

// group returns the group of a topic, nil if nobody is in it.
func (h *Hub) group(t Topic) *group {
	if t.Kind == Everyone {
		return h.everyone
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.groups(t.Kind)[t.Name]
}

// Broadcast sends a message to the members in a room, but for the given ones. It does
// not wait for any of them. Messages of one goroutine to one room arrive in order.
//
// The error is that of the message, or the broker's: the members of this node get the
// message all the same.
func (h *Hub) Broadcast(room string, message Message, except ...*Member) error {
	return h.send(Topic{Room, room}, message, except)
}

// BroadcastAll is Broadcast to all members.
func (h *Hub) BroadcastAll(message Message, except ...*Member) error {
	return h.send(Topic{Kind: Everyone}, message, except)
}

// Send is Broadcast to the members with a key.
func (h *Hub) Send(key string, message Message, except ...*Member) error {
	return h.send(Topic{Key, key}, message, except)
}

func (h *Hub) send(t Topic, message Message, except []*Member) error {
	if err := h.check(message); err != nil {
		return err
	}
	if g := h.group(t); g != nil {
		g.publish(delivery{message: message.encoded, except: except})
	}
	return h.publish(t, func() []byte { return messagePayload(message.encoded) })
}

// check returns why a message can't be sent to anybody.
func (h *Hub) check(message Message) error {
	if err := message.check(); err != nil {
		return err
	}
	if n := len(message.encoded.Data()); !h.options.Queue.Allows(1, n+n>>10+maxFrameOverhead) {
		return ErrTooLong
	}
	return nil
}

// start runs a function in a goroutine that Shutdown waits for, and returns false once
// that has begun.
func (h *Hub) start(f func()) bool {
	h.life.Lock()
	defer h.life.Unlock()
	if !h.closed {
		h.running.Go(f)
	}
	return !h.closed
}

// Rooms returns the names of the rooms in which somebody on this node is, sorted.
func (h *Hub) Rooms() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Sorted(maps.Keys(h.rooms))
}

// Keys returns the keys that members on this node have, sorted.
func (h *Hub) Keys() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Sorted(maps.Keys(h.keys))
}

// Members returns all members on this node.
func (h *Hub) Members() []*Member { return h.everyone.all() }

// In returns the members in a room on this node, in the order in which they came.
func (h *Hub) In(room string) []*Member { return h.group(Topic{Room, room}).all() }

// WithKey returns the members with a key on this node.
func (h *Hub) WithKey(key string) []*Member { return h.group(Topic{Key, key}).all() }

// CountIn returns how many members are in a room on this node.
func (h *Hub) CountIn(room string) int { return h.group(Topic{Room, room}).len() }

// Stats counts, on this node.
type Stats struct {
	Members, Rooms, Keys int // now

	// Since the start.
	Dropped      uint64 // messages that found a member's queue full
	Disconnected uint64 // members whose connection was closed because of that
}

// Stats returns the numbers of this moment.
func (h *Hub) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return Stats{
		Members:      h.everyone.len(),
		Rooms:        len(h.rooms),
		Keys:         len(h.keys),
		Dropped:      h.dropped.Load(),
		Disconnected: h.slow.Load(),
	}
}
