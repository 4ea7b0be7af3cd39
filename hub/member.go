package hub

import (
	"context"
	"slices"
	"sync"

	"github.com/goyave-contrib/websocket"
)

// A Member is a connection in a [Hub]. It leaves by itself when its connection begins to
// end: as soon as Close is called or Serve has returned, say. All methods may be called
// from any goroutine.
type Member struct {
	hub  *Hub
	conn *websocket.Conn

	mu     sync.Mutex
	home   membership // among everyone; here, as each member has it
	places places     // in its other groups; those that it had, when it has left for good
	values map[any]any
	full   bool // its queue was, when it was written to last
	slow   bool // it gets nothing any more, and is to be disconnected
	left   bool // for good
}

// Conn is the member's connection.
func (m *Member) Conn() *websocket.Conn { return m.conn }

// Join has the member enter rooms; those that it is in already stay as they are. When it
// returns, the member gets what is sent to the rooms from then on: on other nodes, as
// soon as they have learned of it. The error is one of
//   - that of the connection, when it has ended
//   - [websocket.ErrCloseSent], when it is being closed
//   - [websocket.ErrShutdown], when the hub or the Upgrader shuts down
//   - [websocket.ErrQueueFull], when the member was too slow
//   - that of the broker
//
// The member is then in the rooms that it was in before. A connection whose Serve returns
// one of the first four ends as the hub has decided.
func (m *Member) Join(rooms ...string) error {
	var entered []string
	for _, room := range rooms {
		isNew, err := m.enter(Topic{Room, room})
		if err != nil {
			m.Leave(entered...)
			return err
		}
		if isNew {
			entered = append(entered, room)
		}
	}
	return nil
}

// Leave has the member leave rooms. When it returns, what was sent to the rooms before is
// queued for the member, ahead of what is sent later; nothing more of them will be.
func (m *Member) Leave(rooms ...string) {
	for _, room := range rooms {
		m.exit(inGroup(Topic{Room, room}))
	}
}

// Rooms returns the names of the rooms the member is in, sorted. For a member that has
// left with its connection, they are those in which it was then, so that a deferred
// function of Serve knows whom to tell.
func (m *Member) Rooms() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rooms []string
	for place := range m.places.all() {
		if place.group.topic.Kind == Room {
			rooms = append(rooms, place.group.topic.Name)
		}
	}
	slices.Sort(rooms)
	return rooms
}

// SetKey gives the member a key, such as the ID of a user: see [Hub.Send]. Several
// members may have the same. The empty key takes it away. Its errors are those of Join,
// and then the member keeps the key that it had before.
func (m *Member) SetKey(key string) error {
	if key == "" {
		m.exit(ofKey)
		return nil
	}
	_, err := m.enter(Topic{Key, key})
	return err
}

// Key returns the member's key; for a member that has left with its connection, the one
// that it had then.
func (m *Member) Key() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if place := m.places.key(); place != nil {
		return place.group.topic.Name
	}
	return ""
}

// Set keeps a value with the member, in place of the one under the same name before.
// Names are compared with ==, as those of a context are. Nil takes a value away.
func (m *Member) Set(name, value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value == nil {
		delete(m.values, name)
		return
	}
	if m.values == nil {
		m.values = make(map[any]any)
	}
	m.values[name] = value
}

// Get returns what was set under a name, nil without.
func (m *Member) Get(name any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[name]
}

// Send sends a message to the member, and does not wait. [websocket.ErrQueueFull] means
// that the member does not get it, and that what Options.WhenFull says was done;
// [ErrTooLong], that the message is too long for any member; another error, that the
// message can't be sent or that the connection has ended. The member's Serve may return
// the error: see [websocket.ErrQueueFull].
func (m *Member) Send(message Message) error {
	if err := m.hub.check(message); err != nil {
		return err
	}
	m.mu.Lock()
	err := m.goneLocked()
	if err == nil {
		err = m.enqueue(message.encoded)
	}
	m.mu.Unlock()
	m.conn.Flush()
	return err
}

// SendContext is Send, but waits for room in the member's queue, as long as ctx allows.
// Its error then wraps the cause of ctx.
func (m *Member) SendContext(ctx context.Context, message Message) error {
	if err := m.hub.check(message); err != nil {
		return err
	}
	if err := m.gone(); err != nil {
		return err
	}
	defer m.conn.Flush()
	return m.conn.EnqueueContext(ctx, m.hub.options.Queue, message.encoded)
}

// refuse does what is to be done when a message finds the queue full. The mutex is
// held.
func (m *Member) refuse() {
	h := m.hub
	h.dropped.Add(1)
	first := !m.full
	m.full = true
	disconnect := h.options.WhenFull == Disconnect
	m.slow = disconnect
	if !first {
		return
	}
	if disconnect {
		h.slow.Add(1)
	}
	end := func() {
		if disconnect {
			h.close(m, websocket.CloseTryAgainLater, tooSlow)
		}
	}
	if h.options.OnFull == nil {
		end()
		return
	}
	m.conn.Go(func(context.Context) error { // which waits for it, and survives its panic
		h.options.OnFull(m)
		end()
		return nil
	})
}
