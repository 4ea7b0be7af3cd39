package redisbroker_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPresence(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	networks := 0
	brokertest.TestPresence(t, func(*testing.T) brokertest.Network {
		networks++
		options := redisbroker.Options{Prefix: "net" + strconv.Itoa(networks)}
		return func(t *testing.T) hub.Broker { return newBroker(t, connect(t, s.addr()), options) }
	})
}

func TestPresenceInCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, false)
	networks := 0
	brokertest.TestPresence(t, func(*testing.T) brokertest.Network {
		networks++
		options := redisbroker.Options{Prefix: "net" + strconv.Itoa(networks)}
		return func(t *testing.T) hub.Broker { return newBroker(t, connectCluster(t, servers), options) }
	})
}

// A resident is a node of presence.
type resident struct {
	t *testing.T
	*redisbroker.Broker
	name string
}

func newResident(t *testing.T, client redis.UniversalClient, name string, set ...func(*redisbroker.Broker)) *resident {
	t.Helper()
	b := newBroker(t, client, redisbroker.Options{})
	for _, f := range set {
		f(b)
	}
	b.Open(func(hub.Topic, []byte) {})
	t.Cleanup(func() { _ = b.Close() })
	return &resident{t, b, name}
}

func (n *resident) renew() hub.Lease {
	n.t.Helper()
	lease, err := n.RenewNode(n.t.Context(), n.name, time.Minute)
	require.NoError(n.t, err)
	return lease
}

func (n *resident) put(room hub.Topic, revision uint64, keys ...string) {
	n.t.Helper()
	var changes []hub.PresenceEntry
	for _, key := range keys {
		changes = append(changes, hub.PresenceEntry{Key: key, Value: []byte("of " + key)})
	}
	require.NoError(n.t, n.PutPresence(n.t.Context(), room, n.name, revision, changes))
}

// list returns the keys in a room, each after the name of its node.
func (n *resident) list(room hub.Topic) (keys []string) {
	n.t.Helper()
	list, err := n.ListPresence(n.t.Context(), room)
	require.NoError(n.t, err)
	for _, np := range list {
		for _, e := range np.Entries {
			keys = append(keys, np.Node+" "+e.Key)
		}
	}
	return keys
}

// The server of a room in a cluster is replaced by one that lacks the last change. The leases are on another server.
func TestFailoverOfARoomLosesPresence(t *testing.T) {
	t.Parallel()
	c := &soakCluster{t: t, servers: startCluster(t, true)}
	c.client = connectCluster(t, c.servers)
	leases := c.masterOf("websocket.hub:{nodes}")
	x, master := room("x"), 0
	for i := 0; ; i++ {
		x = room(strconv.Itoa(i))
		if master = c.masterOf("websocket.hub:{room:" + x.Name + "}"); master != leases {
			break
		}
	}
	a, b := newResident(t, connectCluster(t, c.servers), "a"), newResident(t, connectCluster(t, c.servers), "b")
	require.True(t, a.renew().New)
	require.True(t, b.renew().New)
	a.put(x, 1, "ann")
	dieAhead(t, c.servers[master], c.replicaOf(master), func() {
		require.NoError(t, a.PutPresence(t.Context(), x, "a", 2, []hub.PresenceEntry{{Key: "ann"}}))
	})
	c.await(3, 2)
	require.Eventually(t, func() bool { return a.renew().New }, patience, 10*moment, "the node has to put all again")
	require.False(t, a.renew().New, "once")
	a.put(x, 3, "bob")
	assert.Equal(t, []string{"a bob"}, b.list(x))
}

func TestPresenceIsLost(t *testing.T) {
	t.Parallel()
	rows := map[string]func(t *testing.T, s *server){
		"FLUSHALL":                    func(t *testing.T, s *server) { require.NoError(t, connect(t, s.addr()).FlushAll(t.Context()).Err()) },
		"restart without persistence": func(_ *testing.T, s *server) { s.restart() },
		"restart with some data": func(t *testing.T, s *server) {
			// The leases are saved, and the entries are not.
			admin := connect(t, s.addr())
			require.NoError(t, admin.Del(t.Context(), "websocket.hub:{room:x}:present", "websocket.hub:{room:x}:present:a").Err())
			require.NoError(t, admin.Save(t.Context()).Err())
			s.restart()
		},
	}
	for name, lose := range rows {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			a, b := newResident(t, connect(t, s.addr()), "a"), newResident(t, connect(t, s.addr()), "b")
			require.True(t, a.renew().New)
			require.False(t, a.renew().New)
			require.True(t, b.renew().New)
			a.put(room("x"), 1, "ann")
			lose(t, s)
			require.True(t, a.renew().New)
			require.False(t, a.renew().New, "once")
			assert.Empty(t, b.list(room("x")))
			a.put(room("x"), 2, "ann", "bob")
			assert.ElementsMatch(t, []string{"a ann", "a bob"}, b.list(room("x")))
		})
	}
}

// What one server of a cluster has lost, or one key, is noticed by its node when it looks there.
func TestEntriesOfPresenceAreLost(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := connect(t, s.addr())
	look := map[string]func(n *resident){
		"ListPresence": func(n *resident) { n.list(room("x")) },
		"PresenceRevisions": func(n *resident) {
			_, err := n.PresenceRevisions(n.t.Context(), []hub.Topic{room("y"), room("x")})
			require.NoError(n.t, err)
		},
		"by itself": func(*resident) { time.Sleep(200 * time.Millisecond) }, // real time
	}
	for name, look := range look {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, admin.FlushAll(t.Context()).Err())
			n := newResident(t, connect(t, s.addr()), "a", func(b *redisbroker.Broker) {
				if name == "by itself" {
					b.SetIdle(400 * time.Millisecond)
				}
			})
			n.renew()
			n.put(room("x"), 1, "ann")
			n.put(room("y"), 2, "ann")
			require.NoError(t, admin.Del(t.Context(), "websocket.hub:{room:x}:present", "websocket.hub:{room:x}:present:a").Err())
			require.False(t, n.renew().New)
			look(n)
			require.True(t, n.renew().New)
			assert.Empty(t, n.list(room("y")))
			n.put(room("x"), 3, "ann")
			look(n)
			require.False(t, n.renew().New)
		})
	}
}

// The node of a process that lives stays; nothing stays of others.
func TestPresenceExpires(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond
	s := startServer(t)
	admin := connect(t, s.addr())
	shorter := func(b *redisbroker.Broker) { b.SetIdle(idle) }
	a, dead := newResident(t, connect(t, s.addr()), "a", shorter), newResident(t, connect(t, s.addr()), "dead", shorter)
	a.renew()
	a.put(room("x"), 1, "ann")
	_, err := dead.RenewNode(t.Context(), "dead", idle/2) // it ends before its entries expire
	require.NoError(t, err)
	dead.put(room("x"), 1, "bob")
	dead.put(room("y"), 2, "bob")
	require.ElementsMatch(t, []string{"a ann", "dead bob"}, a.list(room("x")))
	require.NoError(t, dead.Close()) // it removes nothing: this is a process that has died
	require.Eventually(t, func() bool { return assert.ObjectsAreEqual([]string{"a ann"}, a.list(room("x"))) }, patience, moment)
	require.NotContains(t, admin.Keys(t.Context(), "*").Val(), "websocket.hub:{room:x}:present:dead", "whoever sees it removes it")
	require.Equal(t, map[string]string{"a": admin.HGet(t.Context(), "websocket.hub:{room:x}:present", "a").Val()},
		admin.HGetAll(t.Context(), "websocket.hub:{room:x}:present").Val())

	time.Sleep(2 * idle) // real time, as it is Redis' own
	require.Equal(t, []string{"a ann"}, a.list(room("x")))
	require.Empty(t, admin.Keys(t.Context(), "*room:y*").Val(), "nobody has seen it, and it has expired")
	require.NoError(t, a.RemoveNode(t.Context(), "a"))
	require.Empty(t, admin.Keys(t.Context(), "*").Val())
}

// A change that comes late, of an earlier life of its node, changes nothing.
func TestLateChangeOfEarlierLife(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	n := newResident(t, connect(t, s.addr()), "a")
	n.renew()
	n.put(room("x"), 1, "ann")
	late := connect(t, network.addr(), func(o *redis.Options) { o.ReadTimeout = patience })
	first := connect(t, s.addr()).HGet(t.Context(), "websocket.hub:{room:x}:present", "a").Val()
	life, _, _ := strings.Cut(first, " ")
	require.NoError(t, n.RemoveNode(t.Context(), "a"))
	require.True(t, n.renew().New)
	n.put(room("x"), 5, "bob")
	source, err := os.ReadFile("put.lua")
	require.NoError(t, err)
	for _, revision := range []string{"4", "5", "6"} {
		err := late.Eval(t.Context(), string(source), []string{"websocket.hub:{room:x}:present", "websocket.hub:{room:x}:present:a"},
			"a", life, revision, "1000", "ann", "+late").Err()
		require.NoError(t, err)
		require.Equal(t, []string{"a bob"}, n.list(room("x")))
	}
}

// An answer that is lost does not make a new lease look like an old one.
func TestAnswerOfLeaseIsLost(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	client := connect(t, network.addr(), func(o *redis.Options) { o.ReadTimeout = 300 * time.Millisecond })
	n := newResident(t, client, "a")
	require.True(t, n.renew().New)
	require.NoError(t, connect(t, s.addr()).FlushAll(t.Context()).Err())
	resume := s.pause() // it gets the call, and answers when nobody waits for that any more
	time.AfterFunc(time.Second, resume)
	require.True(t, n.renew().New)
	require.False(t, n.renew().New)
}
