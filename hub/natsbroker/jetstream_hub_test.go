package natsbroker_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

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
		for read() != "joined" {
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
