package natsbroker_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hubNode is a node like in an application: a hub, and connections of clients, whose requests name
// their room and key.
type hubNode struct {
	*hub.Hub
	server *wstest.Server
}

func newHubNode(t *testing.T, nc *nats.Conn) *hubNode {
	t.Helper()
	broker, err := natsbroker.New(nc, natsbroker.Options{})
	require.NoError(t, err)
	n := &hubNode{Hub: hub.New(hub.Options{Broker: broker})}
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

// dial returns a client with a room and a key. It waits until the cluster knows its subscriptions.
func (n *hubNode) dial(t *testing.T, nc *nats.Conn, query string) *wstest.Client {
	t.Helper()
	client := wstest.Dial(t, n.server, query, nil)
	client.ExpectText("welcome")
	require.Eventually(t, func() bool { return nc.NumSubscriptions() == 2+len(n.Rooms())+len(n.Keys()) }, patience, moment)
	require.NoError(t, nc.FlushTimeout(patience))
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
	s := startServer(t)
	ncA, ncB := connect(t, s.ClientURL()), connect(t, s.ClientURL())
	a, b := newHubNode(t, ncA), newHubNode(t, ncB)
	alice := a.dial(t, ncA, "/?room=lobby&key=alice")
	bob := b.dial(t, ncB, "/?room=lobby&key=bob")
	carol := b.dial(t, ncB, "/?room=garden&key=carol")

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

	alice = a.dial(t, ncA, "/?room=lobby&key=alice")
	alice.WriteText("here I am")
	bob.ExpectText("here I am")
}

// An audience is on both nodes, and is named by rooms, keys and IDs.
func TestAudiencesOfSeveralNodes(t *testing.T) {
	s := startServer(t)
	ncA, ncB := connect(t, s.ClientURL()), connect(t, s.ClientURL())
	a, b := newHubNode(t, ncA), newHubNode(t, ncB)
	alice := a.dial(t, ncA, "/?room=lobby&key=alice")
	bob := b.dial(t, ncB, "/?room=lobby&key=bob")
	carol := b.dial(t, ncB, "/?room=garden&key=carol")
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
	const users = 100
	one, two := startCluster(t)
	a, b := newHubNode(t, connect(t, one.ClientURL())), newHubNode(t, connect(t, two.ClientURL()))
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

// Another program that publishes what docs/hub.md says reaches the members.
func TestAnotherProgram(t *testing.T) {
	s := startServer(t)
	nc := connect(t, s.ClientURL())
	n := newHubNode(t, nc)
	alice := n.dial(t, nc, "/?room=lobby&key=alice")
	program := connect(t, s.ClientURL())
	for _, m := range []struct{ subject, payload string }{
		{"websocket.hub.room.bG9iYnk", "\x01\x01\x00dinner is ready"},
		{"websocket.hub.all", "\x01\x01\x02\x01\x06\x02alice\x02\x09\x01upstairshelp me"},
		{"websocket.hub.key.YWxpY2U", "\x01\x08\x00\x0f\xa1good night"},
	} {
		require.NoError(t, program.Publish(m.subject, append(make([]byte, 8), m.payload...)))
	}
	alice.ExpectText("dinner is ready")
	alice.ExpectText("help me")
	alice.ExpectClose(4001, "good night")
}

func TestMessageTooBigForTheServer(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 1000 })
	ncA, ncB := connect(t, s.ClientURL()), connect(t, s.ClientURL())
	a, b := newHubNode(t, ncA), newHubNode(t, ncB)
	alice := a.dial(t, ncA, "/?room=lobby&key=alice")
	bob := b.dial(t, ncB, "/?room=lobby&key=bob")
	big := make([]byte, 1000-11) // the limit, less the prefixes of the hub and the Broker
	require.NoError(t, b.To(hub.Key("alice")).Send(hub.Binary(big)))
	alice.ExpectBinary(big)
	big = append(big, 0)
	require.ErrorIs(t, b.To(hub.Key("alice")).Send(hub.Binary(big)), nats.ErrMaxPayload)
	require.ErrorIs(t, b.To(hub.Key("bob")).Send(hub.Binary(big)), nats.ErrMaxPayload)
	bob.ExpectBinary(big) // on the same node, it arrives
}

// In a cluster of two servers with one node each, one node loses its connection for a while. Its
// own members can send to each other in the meantime.
func TestNodeIsCutOff(t *testing.T) {
	one, two := startCluster(t)
	network := startProxy(t, two.Addr().String())
	ncA, ncB := connect(t, one.ClientURL()), connect(t, network.url())
	a, b := newHubNode(t, ncA), newHubNode(t, ncB)
	alice := a.dial(t, ncA, "/?room=lobby&key=alice")
	bob := b.dial(t, ncB, "/?room=lobby&key=bob")
	b.reaches(t, "alice", alice)
	a.reaches(t, "bob", bob)

	network.cut()
	require.Eventually(t, ncB.IsReconnecting, patience, moment)
	beth := wstest.Dial(t, b.server, "/?room=lobby&key=beth", nil)
	beth.ExpectText("welcome")
	bob.WriteText("is anybody here?")
	beth.ExpectText("is anybody here?")
	alice.WriteText("to nobody")
	network.back()

	alice.ExpectText("is anybody here?")
	a.reaches(t, "bob", bob)
	a.reaches(t, "beth", beth)
	alice.WriteText("welcome back")
	bob.ExpectText("welcome back")
	beth.ExpectText("welcome back")
}
