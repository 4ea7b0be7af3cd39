package natsbroker_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newHistoryNode is a node whose rooms have history. A client says with which position it was before.
func newHistoryNode(t *testing.T, nc *nats.Conn) *hubNode {
	t.Helper()
	n := &hubNode{Hub: hub.New(hub.Options{
		Broker: newJetStream(t, nc, natsbroker.JetStreamOptions{}),
		History: &hub.HistoryOptions{
			Rooms: func(string) hub.Keep { return hub.Keep{Messages: 100} },
			Stamp: func(m hub.Message, at hub.Position) hub.Message {
				return hub.Text(at.String() + " " + string(m.Data()))
			},
		},
	})}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		since, err := hub.ParsePosition(r.URL.Query().Get("since"))
		if err != nil {
			return err
		}
		member, err := n.Join(conn)
		if err == nil {
			_, err = member.JoinSince(r.Context(), "lobby", since)
		}
		if err != nil {
			return err
		}
		if err := member.Send(hub.Text("0 joined")); err != nil {
			return err
		}
		_, _, err = conn.ReadMessage()
		return err
	}))
	n.server = wstest.Serve(t, upgrader)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, n.Shutdown(ctx))
		assert.NoError(t, upgrader.Shutdown(ctx))
	})
	return n
}

// A client that moves from node to node gets all messages of its room, in order, and each once.
func TestClientMoves(t *testing.T) {
	s := startJetStream(t)
	nodes := []*hubNode{newHistoryNode(t, connect(t, s.ClientURL())), newHistoryNode(t, connect(t, s.ClientURL()))}
	sent, got, since := 0, 0, ""
	send := func(from *hubNode) {
		sent++
		require.NoError(t, from.To(hub.Room("lobby")).Send(hub.Text(fmt.Sprint("message ", sent))))
	}
	for i := range 10 {
		client := wstest.Dial(t, nodes[i%2].server, "/?since="+since, nil)
		read := func() (text string) {
			_, p, err := client.ReadMessage()
			require.NoError(t, err)
			var at string
			_, err = fmt.Sscanf(string(p), "%s", &at)
			require.NoError(t, err)
			text = string(p[len(at)+1:])
			if text != "joined" {
				got++
				assert.Equal(t, fmt.Sprint("message ", got), text)
				since = at
			}
			return text
		}
		for joined := false; !joined; {
			joined = read() == "joined"
		}
		assert.Equal(t, sent, got)
		for j := range 5 {
			send(nodes[(i+j)%2])
		}
		for got < sent {
			read()
		}
		client.Close(websocket.CloseNormalClosure, "")
		for j := range 3 {
			send(nodes[j%2]) // the client is away
		}
	}
}

// newPresenceNode is a node whose rooms have presence. A client says its room and its key.
func newPresenceNode(t *testing.T, nc *nats.Conn) *hubNode {
	t.Helper()
	n := &hubNode{Hub: hub.New(hub.Options{
		Broker:   newJetStream(t, nc, natsbroker.JetStreamOptions{}),
		Presence: &hub.PresenceOptions{TTL: 2 * time.Second, Grace: -1},
	})}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		member, err := n.Join(conn)
		if err == nil {
			err = member.SetKey(r.URL.Query().Get("key"))
		}
		if err == nil {
			err = member.Join(r.URL.Query().Get("room"))
		}
		if err != nil {
			return err
		}
		_, _, err = conn.ReadMessage()
		return err
	}))
	n.server = wstest.Serve(t, upgrader)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, upgrader.Shutdown(ctx))
		assert.NoError(t, n.Shutdown(ctx))
	})
	return n
}

// shows waits until a node shows these people in a room.
func (n *hubNode) shows(t *testing.T, room string, keys ...string) {
	t.Helper()
	var shown []string
	var err error
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		var people []hub.Person
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		people, err = n.Present(ctx, room)
		cancel()
		shown = nil
		for _, p := range people {
			shown = append(shown, p.Key)
		}
		if err == nil && slices.Equal(keys, shown) {
			return
		}
	}
	t.Fatalf("got %q and error %v, want %q", shown, err, keys)
}

// People come and go on two nodes, of which one is cut off for a while.
func TestPresenceOfSeveralNodes(t *testing.T) {
	t.Parallel()
	s := startJetStream(t)
	network := startProxy(t, s.Addr().String())
	a, b := newPresenceNode(t, connect(t, s.ClientURL())), newPresenceNode(t, connect(t, network.url()))
	wstest.Dial(t, a.server, "/?room=lobby&key=ann", nil)
	bob := wstest.Dial(t, b.server, "/?room=lobby&key=bob", nil)
	wstest.Dial(t, b.server, "/?room=lobby&key=cid", nil)
	for _, n := range []*hubNode{a, b} {
		n.shows(t, "lobby", "ann", "bob", "cid")
	}
	bob.Close(websocket.CloseNormalClosure, "")
	for _, n := range []*hubNode{a, b} {
		n.shows(t, "lobby", "ann", "cid")
	}
	network.cut()
	a.shows(t, "lobby", "ann")
	network.back()
	for _, n := range []*hubNode{a, b} {
		n.shows(t, "lobby", "ann", "cid")
	}
}
