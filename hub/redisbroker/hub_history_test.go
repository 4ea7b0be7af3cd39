package redisbroker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stamped is a message with its position, as clients get it.
type stamped struct {
	At   hub.Position `json:"at"`
	Text string       `json:"text"`
}

// newHistoryNode returns a node whose rooms keep messages. The requests of clients name a room and the position
// that they have.
func newHistoryNode(t *testing.T, client redis.UniversalClient) *hubNode {
	t.Helper()
	broker := newBroker(t, client, redisbroker.Options{PingInterval: 500 * time.Millisecond})
	n := &hubNode{broker: broker, Hub: hub.New(hub.Options{Broker: broker, History: &hub.HistoryOptions{
		Rooms: func(string) hub.Keep { return hub.Keep{Messages: 500} },
		Stamp: func(m hub.Message, at hub.Position) hub.Message {
			return hub.JSON(stamped{at, string(m.Data())})
		},
		GapTimeout: 10 * time.Second, CheckInterval: 300 * time.Millisecond,
	}})}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		since, err := hub.ParsePosition(r.URL.Query().Get("since"))
		if err != nil {
			return err
		}
		member, err := n.Join(conn)
		if err != nil {
			return err
		}
		if _, err := member.JoinSince(r.Context(), "lobby", since); err != nil {
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

// join returns a client that resumes after a position, once it is a member.
func (n *hubNode) join(t *testing.T, since hub.Position) *wstest.Client {
	t.Helper()
	members := n.CountIn("lobby")
	client := wstest.Dial(t, n.server, "/?since="+url.QueryEscape(since.String()), nil)
	require.Eventually(t, func() bool { return n.CountIn("lobby") > members }, patience, moment)
	return client
}

func parseStamped(t *testing.T, data []byte) (s stamped) {
	t.Helper()
	require.NoError(t, json.Unmarshal(data, &s), "%s", data)
	return s
}

func (n *hubNode) say(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, n.To(hub.Room("lobby")).Send(hub.Text(text)))
}

func expectStamped(t *testing.T, client *wstest.Client, text string) hub.Position {
	t.Helper()
	_, data, err := client.ReadMessage()
	require.NoError(t, err)
	s := parseStamped(t, data)
	require.Equal(t, text, s.Text)
	return s.At
}

// A client goes from node to node and misses nothing, in whatever order.
func TestResumeOnAnotherNode(t *testing.T) {
	t.Parallel()
	rows := map[string]func(t *testing.T) func(t *testing.T) redis.UniversalClient{
		"a server": func(t *testing.T) func(t *testing.T) redis.UniversalClient {
			s := startServer(t)
			return func(t *testing.T) redis.UniversalClient { return connect(t, s.addr()) }
		},
		"a cluster": func(t *testing.T) func(t *testing.T) redis.UniversalClient {
			servers := startCluster(t, false)
			return func(t *testing.T) redis.UniversalClient { return connectCluster(t, servers) }
		},
	}
	for name, start := range rows {
		t.Run(name, func(t *testing.T) {
			client := start(t)
			nodes := []*hubNode{newHistoryNode(t, client(t)), newHistoryNode(t, client(t)), newHistoryNode(t, client(t))}
			watcher := nodes[0].join(t, hub.Position{})
			var at hub.Position
			for i := range 30 {
				nodes[i%3].say(t, fmt.Sprint("missed ", i))
				traveler := nodes[(i+1)%3].join(t, at)
				nodes[i%3].say(t, fmt.Sprint("live ", i))
				if i > 0 {
					expectStamped(t, traveler, fmt.Sprint("live ", i-1))
				}
				at = expectStamped(t, watcher, fmt.Sprint("missed ", i))
				require.Equal(t, at, expectStamped(t, traveler, fmt.Sprint("missed ", i)))
				require.Equal(t, expectStamped(t, watcher, fmt.Sprint("live ", i)), expectStamped(t, traveler, fmt.Sprint("live ", i)))
				traveler.Close(websocket.CloseNormalClosure, "")
			}
		})
	}
}

// What arrives while a node is cut off reaches its members afterwards, once and in order. If Redis has lost it,
// they are told.
func TestHistoryAfterOutage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	near, far := newHistoryNode(t, connect(t, s.addr())), newHistoryNode(t, connect(t, network.addr()))
	ada := near.join(t, hub.Position{})
	bob := far.join(t, hub.Position{})
	near.say(t, "before")
	expectStamped(t, ada, "before")
	expectStamped(t, bob, "before")

	network.cut()
	require.Eventually(t, func() bool { return far.broker.Stats().Outages > 0 }, patience, moment)
	for i := range 100 {
		near.say(t, fmt.Sprint("meanwhile ", i))
		expectStamped(t, ada, fmt.Sprint("meanwhile ", i))
	}
	network.back()
	for i := range 100 { // nothing more comes, so a check finds it
		expectStamped(t, bob, fmt.Sprint("meanwhile ", i))
	}
	near.say(t, "after")
	last := expectStamped(t, ada, "after")
	require.Equal(t, last, expectStamped(t, bob, "after"))

	require.NoError(t, connect(t, s.addr()).FlushAll(t.Context()).Err())
	for _, client := range []*wstest.Client{ada, bob} {
		client.ExpectClose(websocket.CloseTryAgainLater, "missed messages")
	}
	cid := wstest.Dial(t, near.server, "/?since="+url.QueryEscape(last.String()), nil)
	cid.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error") // this Serve returns ErrHistoryLost
	dan := near.join(t, hub.Position{})
	far.say(t, "anew")
	require.NotEqual(t, last.Epoch, expectStamped(t, dan, "anew").Epoch)
}
