package chat

import (
	"context"
	"slices"
	"strings"
	"sync"

	websocket "github.com/goyave-contrib/websocket/goyave"
)

// queueSize is how many messages may wait for a slow member.
const queueSize = 64

// member is one connection.
type member struct {
	name  string
	conn  *websocket.Conn
	queue chan []byte
}

func newMember(name string, conn *websocket.Conn) *member {
	return &member{name: name, conn: conn, queue: make(chan []byte, queueSize)}
}

// pump writes what is in the queue until the connection ends.
func (m *member) pump(ctx context.Context) error {
	for {
		select {
		case message := <-m.queue:
			if ctx.Err() != nil {
				return nil // at shutdown all leave, which is no news
			}
			if err := m.conn.WriteMessage(websocket.TextMessage, message); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// drop ends the connection of a member that does not keep up. It waits for
// nothing: the goroutine's error ends the connection, as one of Serve would.
func (m *member) drop() {
	m.conn.Go(func(context.Context) error {
		return websocket.NewCloseError(websocket.ClosePolicyViolation, "too slow")
	})
}

// room is the members. The zero value is an empty one. Nothing that holds its
// lock waits for a connection.
type room struct {
	mu      sync.Mutex
	members map[string]*member // by name in lower case
}

// join lets a member in, unless the name is taken. The others are told, and the
// member who they are.
func (r *room) join(m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.ToLower(m.name)
	if _, taken := r.members[key]; taken {
		return false
	}
	r.broadcast(event{Type: "joined", Name: m.name})
	if r.members == nil {
		r.members = make(map[string]*member)
	}
	r.members[key] = m
	m.queue <- event{Type: "members", All: r.names()}.encode() // the queue is empty
	return true
}

// leave takes a member out and tells the others.
func (r *room) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key := strings.ToLower(m.name); r.members[key] == m {
		delete(r.members, key)
		r.broadcast(event{Type: "left", Name: m.name})
	}
}

// send sends an event to all members.
func (r *room) send(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broadcast(e)
}

// broadcast puts an event into every queue. A member whose queue is full is
// dropped; the others are told that it left, which may be too much for yet
// another one.
func (r *room) broadcast(e event) {
	for pending := []event{e}; len(pending) > 0; pending = pending[1:] {
		encoded := pending[0].encode()
		for key, m := range r.members {
			select {
			case m.queue <- encoded:
			default:
				delete(r.members, key)
				m.drop()
				pending = append(pending, event{Type: "left", Name: m.name})
			}
		}
	}
}

func (r *room) names() []string {
	names := make([]string, 0, len(r.members))
	for _, m := range r.members {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return names
}
