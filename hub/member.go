package hub

import (
	"context"
	"slices"
	"sync"

	"github.com/goyave-contrib/websocket"
)

// A Member is a connection in a [Hub]; [Hub.Join] returns it. It leaves the hub by itself
// when its connection begins to end, for example when Close is called or Serve has returned.
// All methods may be called from any goroutine.
type Member struct {
	hub    *Hub
	conn   *websocket.Conn
	number uint64 // the second part of the ID

	mu            sync.Mutex
	everyone      membership  // in Hub.everyone; a value, because each member has it
	memberships   memberships // in rooms and keys; kept when the member has left for good
	values        map[any]any // of Set
	queueFull     bool        // the last message did not fit into the queue
	disconnecting bool        // the member is too slow: it gets no more messages and is disconnected
	left          bool        // the member has left all groups, for good
	sendingEnded  bool        // Disconnect is about to return: nothing is sent any more
	holds         int32       // how many memberships are held: see isHeld
}

// Conn returns the member's connection.
func (m *Member) Conn() *websocket.Conn { return m.conn }

// Join adds the member to rooms. Rooms that it is in already are left as they are. Once Join
// returns, the member receives every message that is sent to the rooms on this node. Messages
// from other nodes arrive once the broker has subscribed: see [Member.JoinContext]. The error is
// one of
//   - the cause of the connection's context, when the connection has ended
//   - [websocket.ErrCloseSent], when the connection is being closed
//   - [websocket.ErrShutdown], when the hub or the Upgrader shuts down
//   - [websocket.ErrQueueFull], when the member was too slow and is being disconnected
//   - the error of the broker's Subscribe
//   - [ErrNoHistory], when a room is to have a history and the broker keeps none
//
// After an error, the member is in the rooms that it was in before the call. Serve may return
// any of the first four: the connection then ends as the hub has decided.
func (m *Member) Join(rooms ...string) error {
	_, err := m.join(rooms)
	return err
}

// JoinContext is [Member.Join], but returns when the broker has subscribed to the rooms, if it is a
// [SubscriptionWaiter]: what is sent to them afterwards, on any node, reaches the member. If ctx
// ends first, the member has left the rooms that it was not in before, and the error wraps the
// cause of ctx. On a single node, JoinContext does not wait for anything outside of the process.
func (m *Member) JoinContext(ctx context.Context, rooms ...string) error {
	entered, err := m.join(rooms)
	if err != nil {
		return err
	}
	err = m.awaitSubscribed(ctx)
	if err == nil && m.hub.history != nil {
		err = m.awaitHistories(ctx, rooms)
	}
	if err != nil {
		m.Leave(entered...)
	}
	return err
}

// join is Join. It returns the rooms that the member was not in before.
func (m *Member) join(rooms []string) (entered []string, err error) {
	for _, room := range rooms {
		isNew, err := m.enter(Room(room))
		if err != nil {
			m.Leave(entered...)
			return nil, err
		}
		if isNew {
			entered = append(entered, room)
		}
	}
	return entered, nil
}

// Leave removes the member from rooms; rooms that it is not in are ignored. When it returns,
// the messages that were sent to the rooms before are in the member's queue, ahead of any later
// message, and no further message of the rooms will be added.
func (m *Member) Leave(rooms ...string) {
	for _, room := range rooms {
		m.exit(membershipIn(Room(room)))
	}
}

// Rooms returns the sorted names of the rooms that the member is in. For a member that has left
// because its connection ended, Rooms returns the rooms that it was in at that moment, so that
// a deferred function of Serve can send a goodbye to them.
func (m *Member) Rooms() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rooms []string
	for ms := range m.memberships.all() {
		if ms.group.topic.Kind == KindRoom {
			rooms = append(rooms, ms.group.topic.Name)
		}
	}
	slices.Sort(rooms)
	return rooms
}

// SetKey gives the member a key, such as the ID of a user: see [Key]. Several members may
// share a key. A new key replaces the previous one; the empty key removes it. SetKey returns
// the same errors as [Member.Join]; after an error, the member keeps its previous key.
func (m *Member) SetKey(key string) error {
	if key == "" {
		m.exit(keyMembership)
		return nil
	}
	_, err := m.enter(Key(key))
	return err
}

// Key returns the member's key, or the empty string if it has none. For a member that has left
// because its connection ended, Key returns the key that it had at that moment.
func (m *Member) Key() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ms := m.memberships.key(); ms != nil {
		return ms.group.topic.Name
	}
	return ""
}

// Set stores a value with the member and replaces the previous value of the same name. Names
// are compared with ==, like the keys of a context. A nil value deletes the name.
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

// Get returns the value that [Member.Set] stored under a name, or nil.
func (m *Member) Get(name any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[name]
}

// Send sends a message to the member without waiting. Its error is
//   - [websocket.ErrQueueFull], when the member's queue is full: the message is dropped and
//     Options.WhenFull is applied
//   - [ErrTooLong], when the message is too long for any member's queue
//   - the error of the message, when it could not be encoded
//   - the cause of the connection's context, or the error of a write, when the connection has
//     ended
//
// The member's Serve may return the error: see [websocket.ErrQueueFull].
func (m *Member) Send(message Message) error {
	if err := m.hub.check(message); err != nil {
		return err
	}
	m.mu.Lock()
	err := m.sendErrorLocked()
	if err == nil {
		err = m.enqueueSlow(message.encoded, m.hub.slowOf(message))
	}
	m.mu.Unlock()
	m.conn.Flush()
	return err
}

// SendContext is [Member.Send], but waits for room in the member's queue. If ctx ends first, the
// message is not sent, and the error wraps the cause of ctx.
func (m *Member) SendContext(ctx context.Context, message Message) error {
	if err := m.hub.check(message); err != nil {
		return err
	}
	if err := m.sendError(); err != nil {
		return err
	}
	defer m.conn.Flush()
	return m.conn.EnqueueContext(ctx, m.hub.options.Queue, message.encoded)
}

// handleQueueFull applies a policy to a message that did not fit into the queue, or made others
// give way. The caller holds the mutex.
func (m *Member) handleQueueFull(policy Policy) {
	h := m.hub
	h.dropped.Add(1)
	first := !m.queueFull
	m.queueFull = true
	disconnect := policy == Disconnect && !m.disconnecting
	m.disconnecting = m.disconnecting || disconnect
	if !first && !disconnect {
		return
	}
	if disconnect {
		h.disconnected.Add(1)
	}
	end := func() {
		if disconnect {
			h.close(m, websocket.CloseTryAgainLater, tooSlowText)
		}
	}
	if h.options.OnFull == nil {
		end()
		return
	}
	served := m.conn.Go(func(context.Context) error { // Serve's end waits for it; a panic is recovered
		h.options.OnFull(m)
		end()
		return nil
	})
	if served {
		return
	}
	h.start(func() { // Serve has returned: the hub's Shutdown waits for it
		defer end()
		if err := h.callOnFull(m); err != nil {
			logFailure("hub: Options.OnFull failed", err)
		}
	})
}

// callOnFull calls Options.OnFull and returns its panic.
func (h *Hub) callOnFull(m *Member) (err error) {
	defer recoverTo(&err)
	h.options.OnFull(m)
	return nil
}
