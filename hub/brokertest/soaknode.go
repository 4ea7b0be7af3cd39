package brokertest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
)

// A soakNode is a hub and its server, in memory.
type soakNode struct {
	SoakNode
	soak     *soak
	name     string
	hub      *hub.Hub
	upgrader *websocket.Upgrader
	listener *wstest.Listener
	server   *http.Server
	serving  sync.WaitGroup
	ended    atomic.Bool // its connections may end at any time

	mu       sync.Mutex
	arrivals map[string]chan *websocket.Conn // by path
}

// startNode starts one more node.
func (s *soak) startNode() *soakNode {
	s.started++
	n := &soakNode{
		SoakNode: s.rig.Node(), soak: s, name: fmt.Sprint("node ", s.started),
		listener: wstest.Listen(), arrivals: make(map[string]chan *websocket.Conn),
	}
	n.hub = hub.New(hub.Options{
		Queue:  websocket.QueueLimit{Bytes: 48 << 10}, // slow players are too slow at times
		Broker: watchedBroker{n.Broker, s},
		History: &hub.HistoryOptions{
			Rooms: func(room string) hub.Keep {
				if slices.Contains(soakKept, room) {
					return hub.Keep{Messages: soakKeep}
				}
				return hub.Keep{}
			},
			Stamp: stampFrame, Timeout: soakCall, GapTimeout: soakGapTimeout, CheckInterval: soakCheck,
			MaxMemory: []int{-1, 8 << 10, 0}[s.started%3],
		},
		Presence: &hub.PresenceOptions{
			Grace: soakGrace, TTL: soakTTL,
			List: func(room string, people []hub.Person) hub.Message {
				return hub.JSON(soakFrame{Kind: frameList, Room: room, People: people})
			},
			Changes: func(room string, changes []hub.PresenceChange) hub.Message {
				f := soakFrame{Kind: frameChanges, Room: room}
				for _, c := range changes {
					f.Changes = append(f.Changes, soakChange{c.Kind.String(), c.Key, c.Value})
				}
				return hub.JSON(f)
			},
		},
	})
	n.upgrader = websocket.New(n)
	n.upgrader.Options = websocket.Options{CloseTimeout: soakClose, PingInterval: -1}
	n.upgrader.Logger = slog.New(slog.DiscardHandler)
	n.server = &http.Server{Handler: n.upgrader} //nolint:gosec // the clients are the test's own
	n.serving.Go(func() { _ = n.server.Serve(n.listener) })
	return n
}

// Serve hands the connection to its player, and reads.
func (n *soakNode) Serve(conn *websocket.Conn, r *http.Request) error {
	n.arrival(r.URL.Path) <- conn
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
}

func (n *soakNode) arrival(path string) chan *websocket.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.arrivals[path] == nil {
		n.arrivals[path] = make(chan *websocket.Conn, 1)
	}
	return n.arrivals[path]
}

// connect returns the two ends of a connection. It fails if the node is ending.
func (n *soakNode) connect(random *rand.Rand) (client, server *websocket.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	path := fmt.Sprint("/", random.Uint64())
	client, _, err = websocket.Dial(ctx, "ws://soak"+path, &websocket.DialOptions{
		DialContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return n.listener.DialContext(ctx) },
		CloseTimeout: soakClose, PingInterval: -1,
	})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.arrivals, path)
	}()
	select {
	case server = <-n.arrival(path):
		return client, server, nil
	case <-ctx.Done():
		_ = client.CloseNow()
		return nil, nil, context.Cause(ctx)
	}
}

// shutdown ends the node as a program does that is told to end.
func (n *soakNode) shutdown() {
	n.ended.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	begun := time.Now()
	if err := n.upgrader.Shutdown(ctx); err != nil {
		n.soak.failf("%s: shut down the upgrader: %v", n.name, err)
	}
	// A broker that has not found its network again since the last fault may say that something is not sent.
	if err := n.hub.Shutdown(ctx); err != nil && (ctx.Err() != nil || n.soak.calm.Load()) {
		n.soak.failf("%s: shut down the hub after %v: %v", n.name, time.Since(begun), err)
	}
	n.release()
}

// die cuts the node off for good, with its clients. Nothing that it does from then on reaches anyone.
func (n *soakNode) die() {
	n.ended.Store(true)
	n.Cut()
	_ = n.listener.Close()
	for _, m := range n.hub.Members() {
		_ = m.Conn().CloseNow()
	}
	n.soak.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begun := time.Now()
		_ = n.upgrader.Shutdown(ctx)
		_ = n.hub.Shutdown(ctx) // it can't tell anyone
		if took := time.Since(begun); took > timeout {
			n.soak.failf("%s: Shutdown took %v, of which it was given 1s", n.name, took)
		}
		n.release()
	})
}

func (n *soakNode) release() {
	_ = n.server.Close()
	n.serving.Wait()
	if n.Release != nil {
		n.Release()
	}
}

// A soakFrame is what clients receive.
type soakFrame struct {
	Kind string
	Room string
	soakMessage
	At      hub.Position // of a message that is kept
	Stay    int          // of a mark
	People  []hub.Person // of a list
	Changes []soakChange // of changes
	Padding string
}

// A soakChange is a change of a person.
type soakChange struct {
	Kind  string
	Key   string
	Value []byte
}

// A soakMessage says who has sent which message: a player in one session, or a node.
type soakMessage struct {
	From   string
	Number int
	Except string // the key of those who must not get it; empty for none
}

// The kinds of frames.
const (
	frameMessage = "message"
	frameEnter   = "enter" // the client is about to enter a room
	frameLeft    = "left"  // the client has left it
	frameList    = "list"
	frameChanges = "changes"
)

// parseFrame returns the frame in a message or in what a hub has made of it for the broker.
func parseFrame(p []byte) (f soakFrame, ok bool) {
	for i, b := range p {
		if b == '{' && json.Unmarshal(p[i:], &f) == nil {
			return f, true
		}
	}
	return f, false
}

// stampFrame adds the position to a message.
func stampFrame(m hub.Message, at hub.Position) hub.Message {
	f, _ := parseFrame(m.Data())
	f.At = at
	return hub.JSON(f)
}
