package redisbroker_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
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

// presenceNode is a node that knows who is in the lobby, and a record of the changes that it was told of.
type presenceNode struct {
	*hubNode
	mu      sync.Mutex
	changes []string
}

const presenceTTL = 3 * time.Second // a busy machine renews in time

func newPresenceNode(t *testing.T, client redis.UniversalClient) *presenceNode {
	t.Helper()
	broker := newBroker(t, client, redisbroker.Options{PingInterval: 500 * time.Millisecond})
	n := new(presenceNode)
	n.hubNode = &hubNode{broker: broker, Hub: hub.New(hub.Options{Broker: broker, Presence: &hub.PresenceOptions{
		Grace: -1, TTL: presenceTTL,
		OnChange: func(c hub.PresenceChange) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.changes = append(n.changes, c.Key+" "+c.Kind.String())
		},
	}})}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		member, err := n.Join(conn)
		if err != nil {
			return err
		}
		if err := member.SetKey(r.URL.Query().Get("key")); err != nil {
			return err
		}
		if err := member.Join("lobby"); err != nil {
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

// sees waits until the people in the lobby are those with some keys.
func (n *presenceNode) sees(t *testing.T, keys ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), presenceTTL)
		defer cancel()
		people, err := n.Present(ctx, "lobby")
		var got []string
		for _, p := range people {
			got = append(got, p.Key)
		}
		return err == nil && assert.ObjectsAreEqual(keys, got)
	}, patience, moment, "%v", keys)
}

// told reports whether the node was told of a change.
func (n *presenceNode) told(change string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.changes, change)
}

func TestPresenceOfSeveralNodes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	near, far := newPresenceNode(t, connect(t, s.addr())), newPresenceNode(t, connect(t, network.addr()))
	wstest.Dial(t, near.server, "/?key=ada", nil)
	near.sees(t, "ada")
	bob := wstest.Dial(t, far.server, "/?key=bob", nil)
	for _, n := range []*presenceNode{near, far} {
		n.sees(t, "ada", "bob")
	}
	require.Eventually(t, func() bool { return near.told("bob joined") }, patience, moment)

	// Redis loses everything: nobody is told anything.
	require.NoError(t, connect(t, s.addr()).FlushAll(t.Context()).Err())
	time.Sleep(3 * presenceTTL / 2) // real time, as it is Redis' own
	for _, n := range []*presenceNode{near, far} {
		n.sees(t, "ada", "bob")
	}
	require.False(t, near.told("bob left") || far.told("ada left"))

	network.cut()
	near.sees(t, "ada")
	require.Eventually(t, func() bool { return near.told("bob left") && far.told("ada left") }, patience, moment)
	network.back()
	for _, n := range []*presenceNode{near, far} {
		n.sees(t, "ada", "bob")
	}
	bob.Close(websocket.CloseNormalClosure, "")
	for _, n := range []*presenceNode{near, far} {
		n.sees(t, "ada")
	}
}
