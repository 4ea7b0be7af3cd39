package redisbroker_test

import (
	"context"
	"fmt"
	"net/http"
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

// hubNode is a node like in an application: a hub, and connections of clients, whose requests name
// their room and key.
type hubNode struct {
	*hub.Hub
	broker *redisbroker.Broker
	server *wstest.Server
}

func newHubNode(t *testing.T, client redis.UniversalClient) *hubNode {
	t.Helper()
	broker := newBroker(t, client, redisbroker.Options{})
	n := &hubNode{Hub: hub.New(hub.Options{Broker: broker}), broker: broker}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		member, err := n.Join(conn, r.URL.Query().Get("room"))
		if key := r.URL.Query().Get("key"); err == nil && r.URL.Query().Has("take") {
			err = member.TakeKey(r.Context(), key, 4001, "elsewhere")
		} else if err == nil {
			err = member.SetKey(key)
		}
		if err == nil {
			err = member.Send(hub.Text("welcome"))
		}
		if err != nil {
			return err
		}
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			if err := n.To(hub.Room(r.URL.Query().Get("room"))).Except(member).Send(hub.Text(string(text))); err != nil {
				return err
			}
		}
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

// dial returns a client with a room and a key. It waits until Redis knows its subscriptions.
func (n *hubNode) dial(t *testing.T, query string) *wstest.Client {
	t.Helper()
	client := wstest.Dial(t, n.server, query, nil)
	client.ExpectText("welcome")
	require.NoError(t, n.broker.AwaitSubscribed(t.Context()))
	return client
}

// reaches waits until a message that the node sends to a key reaches its client.
func (n *hubNode) reaches(t *testing.T, key string, client *wstest.Client) {
	t.Helper()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			assert.NoError(t, n.To(hub.Key(key)).Send(hub.Text("are you there?")))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	client.ExpectText("are you there?")
	close(stop)
	sending.Wait()
	require.NoError(t, n.To(hub.Key(key)).Send(hub.Text("good")))
	for text := ""; text != "good"; {
		_, p, err := client.ReadMessage()
		require.NoError(t, err)
		text = string(p)
	}
}

func TestHubsOfSeveralNodes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := newHubNode(t, connect(t, s.addr())), newHubNode(t, connect(t, s.addr()))
	alice := a.dial(t, "/?room=lobby&key=alice")
	bob := b.dial(t, "/?room=lobby&key=bob")
	carol := b.dial(t, "/?room=garden&key=carol")

	alice.WriteText("hello")
	bob.ExpectText("hello")
	bob.WriteText("hello, alice")
	alice.ExpectText("hello, alice")

	require.NoError(t, b.To(hub.Key("alice")).Send(hub.Text("to alice")))
	alice.ExpectText("to alice")
	require.NoError(t, a.To(hub.Room("garden")).Send(hub.Binary([]byte{1, 2})))
	carol.ExpectBinary([]byte{1, 2})
	require.NoError(t, a.To(hub.Everyone()).Send(hub.Text("to all")))
	for _, client := range []*wstest.Client{alice, bob, carol} {
		client.ExpectText("to all")
	}

	require.NoError(t, b.To(hub.Key("alice")).Disconnect(4000, "come back"))
	alice.ExpectClose(4000, "come back")
	require.NoError(t, a.To(hub.Key("carol")).Disconnect(websocket.CloseNormalClosure, ""))
	carol.ExpectClose(websocket.CloseNormalClosure, "")

	alice = a.dial(t, "/?room=lobby&key=alice")
	alice.WriteText("here I am")
	bob.ExpectText("here I am")
}

// An audience is on both nodes, and is named by rooms, keys and IDs.
func TestAudiencesOfSeveralNodes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a, b := newHubNode(t, connect(t, s.addr())), newHubNode(t, connect(t, s.addr()))
	alice := a.dial(t, "/?room=lobby&key=alice")
	bob := b.dial(t, "/?room=lobby&key=bob")
	carol := b.dial(t, "/?room=garden&key=carol")
	id := hub.ID(b.WithKey("carol")[0].ID())

	require.NoError(t, a.To(id).Send(hub.Text("to carol")))
	require.NoError(t, a.To(hub.Room("lobby"), hub.Key("alice"), hub.Key("bob"), id).Send(hub.Text("to all, once")))
	require.NoError(t, a.To(hub.Everyone()).Except(hub.Room("lobby")).Send(hub.Text("to carol again")))
	require.NoError(t, a.To(hub.Room("lobby"), id).Except(id, hub.Key("alice")).Send(hub.Text("to bob")))
	require.NoError(t, a.To(id, hub.Key("bob")).Leave("garden", "lobby"))
	require.NoError(t, a.To(hub.Everyone()).Except(hub.Room("lobby"), hub.Room("garden")).Send(hub.Text("left")))
	for client, texts := range map[*wstest.Client][]string{
		alice: {"to all, once"},
		bob:   {"to all, once", "to bob", "left"},
		carol: {"to carol", "to all, once", "to carol again", "left"},
	} {
		for _, text := range texts {
			client.ExpectText(text)
		}
	}
	require.NoError(t, a.To(hub.Everyone()).Disconnect(4000, "over"))
	for _, client := range []*wstest.Client{alice, bob, carol} {
		client.ExpectClose(4000, "over")
	}
}

// Of the sessions of a user that begin on two nodes at once, one stays.
func TestNewestSessionWins(t *testing.T) {
	t.Parallel()
	const users = 100
	servers := startCluster(t, false)
	a, b := newHubNode(t, connectCluster(t, servers)), newHubNode(t, connectCluster(t, servers))
	a.connected(t, b)
	var connecting sync.WaitGroup
	for user := range users {
		for _, n := range []*hubNode{a, b} {
			connecting.Go(func() {
				client := wstest.Dial(t, n.server, fmt.Sprintf("/?room=lobby&take&key=user%d", user), nil)
				go func() {
					for {
						if _, _, err := client.ReadMessage(); err != nil {
							return
						}
					}
				}()
			})
		}
	}
	connecting.Wait()
	require.Eventually(t, func() bool {
		for user := range users {
			key := fmt.Sprint("user", user)
			if len(a.WithKey(key))+len(b.WithKey(key)) != 1 {
				return false
			}
		}
		return a.Stats().Members+b.Stats().Members == users
	}, patience, moment, "%v and %v", a.Stats(), b.Stats())
}

// connected waits until what each of two nodes publishes to everyone reaches the other.
func (n *hubNode) connected(t *testing.T, other *hubNode) {
	t.Helper()
	for _, pair := range [][2]*hubNode{{n, other}, {other, n}} {
		client := wstest.Dial(t, pair[1].server, "/?room=hall&key=probe", nil)
		client.ExpectText("welcome")
		pair[0].reaches(t, "probe", client)
		client.Close(websocket.CloseNormalClosure, "")
		require.Eventually(t, func() bool { return pair[1].Stats().Members == 0 }, patience, moment)
	}
}

// One node loses its connection for a while. Its own members can send to each other in the meantime.
func TestNodeIsCutOff(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	a, b := newHubNode(t, connect(t, s.addr())), newHubNode(t, connect(t, network.addr()))
	alice := a.dial(t, "/?room=lobby&key=alice")
	bob := b.dial(t, "/?room=lobby&key=bob")
	b.reaches(t, "alice", alice)
	a.reaches(t, "bob", bob)

	network.cut()
	require.Eventually(t, func() bool { return b.broker.Stats().Outages > 0 }, patience, moment)
	require.NoError(t, b.To(hub.Everyone()).Except(hub.Room("lobby")).Send(hub.Text("into the void"))) // this network takes it
	require.Eventually(t, func() bool { return b.broker.Stats().Lost > 0 }, patience, moment)
	beth := wstest.Dial(t, b.server, "/?room=lobby&key=beth", nil)
	beth.ExpectText("welcome")
	bob.WriteText("is anybody here?")
	beth.ExpectText("is anybody here?")
	require.NoError(t, a.To(hub.Room("lobby")).Except(hub.Key("alice")).Send(hub.Text("to nobody")))
	require.Eventually(t, func() bool { return a.broker.Stats().Queued == 0 }, patience, moment)
	network.back()

	alice.ExpectText("is anybody here?")
	a.reaches(t, "bob", bob)
	a.reaches(t, "beth", beth)
	alice.WriteText("welcome back")
	bob.ExpectText("welcome back")
	beth.ExpectText("welcome back")
}
