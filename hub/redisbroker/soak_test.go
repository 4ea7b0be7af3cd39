package redisbroker_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// soakNode returns a node whose network fails in one of two ways: connections break, or nothing arrives.
func soakNode(t *testing.T, number int, servers []*server, newClient func(w serverNetwork) redis.UniversalClient) brokertest.SoakNode {
	t.Helper()
	network := startNetwork(t, servers)
	client := newClient(network)
	n := brokertest.SoakNode{
		Broker: newBroker(t, client, redisbroker.Options{PingInterval: 500 * time.Millisecond}),
		Cut:    network.each((*proxy).cut), Restore: network.each((*proxy).back),
		Release: func() {
			_ = client.Close()
			network.each((*proxy).stop)()
		},
	}
	if number%3 == 0 {
		n.Cut, n.Restore = network.each((*proxy).freeze), network.each((*proxy).thaw)
	}
	return n
}

// A server that saves everything before it answers dies, pauses, and loses everything.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	nodes := 0
	var resume func()
	brokertest.Soak(t, brokertest.SoakRig{
		Node: func() brokertest.SoakNode {
			nodes++
			return soakNode(t, nodes, []*server{s}, func(w serverNetwork) redis.UniversalClient {
				return newClient(s.addr(), func(o *redis.Options) { o.Dialer = w.dial })
			})
		},
		Faults: []brokertest.SoakFault{
			{Name: "the server dies and keeps its data", Begin: s.kill, End: s.restart},
			{Name: "the server pauses", Begin: func() { resume = s.pause() }, End: func() { resume() }},
			{
				Name: "the server loses everything", LosesHistory: true,
				Begin: func() {
					s.kill()
					require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "appendonlydir")))
				},
				End: s.restart,
			},
			{Name: "connections for subscriptions are killed", Begin: func() {
				_ = connect(t, s.addr()).ClientKillByFilter(t.Context(), "type", "pubsub").Err()
			}},
		},
	})
}

// sendSome lets the players send messages.
func sendSome() { time.Sleep(100 * time.Millisecond) }

// hasAllOf reports whether a replica has all that its master had a moment ago.
func hasAllOf(replica, master *server) bool {
	offset := master.offset("master_repl_offset")
	return replica.offset("slave_repl_offset") >= offset
}

// dieAhead kills a server after something that its replica does not get.
func dieAhead(t *testing.T, s, replica *server, ahead func()) {
	t.Helper()
	require.Eventually(t, func() bool { return hasAllOf(replica, s) }, patience, moment)
	resume := replica.pause()
	defer resume()
	client := newClient(s.addr())
	defer client.Close() //nolint:errcheck // it has only to be closed
	require.NoError(t, client.ClientKillByFilter(t.Context(), "type", "replica").Err())
	ahead()
	s.kill()
}

// A server of a cluster dies, and its replica, which lacks the newest messages, takes its place. Rooms move
// from one server to another.
func TestSoakInCluster(t *testing.T) {
	t.Parallel()
	c := &soakCluster{t: t, servers: startCluster(t, true)}
	c.client = connectCluster(t, c.servers)
	nodes, killed := 0, 0
	channel := func() string { return fmt.Sprintf("websocket.hub:{room:kept%%20%d}", 1+rand.IntN(2)) }
	brokertest.Soak(t, brokertest.SoakRig{
		IsExtra: true,
		Node: func() brokertest.SoakNode {
			nodes++
			return soakNode(t, nodes, c.servers, func(w serverNetwork) redis.UniversalClient {
				return connectCluster(t, c.servers, func(o *redis.ClusterOptions) { o.Dialer = w.dial })
			})
		},
		Faults: []brokertest.SoakFault{
			{
				Name: "a server of the cluster is killed, and its replica takes its place", LosesNewest: true,
				Begin: func() {
					killed = c.masterOf(channel())
					dieAhead(t, c.servers[killed], c.replicaOf(killed), sendSome)
				},
				End: func() {
					c.await(3, 2)
					c.servers[killed].restart()
					c.await(3, 3)
				},
			},
			{Name: "a room moves to another server", Begin: func() { c.move(channel()) }},
		},
	})
}

// Sentinel has a replica, which lacks the newest messages, take the place of a server that dies. That comes
// back as the replica of the other.
func TestSoakWithSentinel(t *testing.T) {
	t.Parallel()
	const atOnce = "--repl-diskless-sync-delay"
	master := startServer(t, atOnce, "0")
	replica := startServer(t, atOnce, "0", "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.port))
	require.Eventually(t, func() bool { return replica.is("master_link_status:up") }, patience, moment)
	sentinel := startSentinel(t, master)
	require.NoError(t, connect(t, sentinel.addr()).Do(t.Context(), "sentinel", "set", "ours", "failover-timeout", "1000", "down-after-milliseconds", "1000").Err())
	nodes := 0
	brokertest.Soak(t, brokertest.SoakRig{
		IsExtra: true,
		Node: func() brokertest.SoakNode {
			nodes++
			return soakNode(t, nodes, []*server{master, replica, sentinel}, func(w serverNetwork) redis.UniversalClient {
				return connectBySentinel(t, sentinel, func(o *redis.FailoverOptions) { o.Dialer = w.dial })
			})
		},
		Faults: []brokertest.SoakFault{
			{
				Name: "the server is killed, and its replica takes its place", LosesNewest: true,
				Begin: func() {
					require.Eventually(t, func() bool {
						if replica.is("role:master") { // Sentinel took the other one for dead
							master, replica = replica, master
						}
						return master.is("role:master") && replica.is("master_link_status:up") && hasAllOf(replica, master)
					}, patience, moment)
					dieAhead(t, master, replica, sendSome)
				},
				End: func() {
					require.Eventually(t, func() bool { return replica.is("role:master") }, patience, moment)
					master, replica = replica, master
					replica.arguments = []string{atOnce, "0", "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.port)}
					replica.restart()
					require.Eventually(t, func() bool { return replica.is("master_link_status:up") }, patience, moment)
				},
			},
		},
	})
}
