package redisbroker_test

import (
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
func soakNode(t *testing.T, number int, addr string, newClient func(addr string) redis.UniversalClient) brokertest.SoakNode {
	t.Helper()
	network := startProxy(t, addr)
	client := newClient(network.addr())
	n := brokertest.SoakNode{
		Broker: newBroker(t, client, redisbroker.Options{PingInterval: 500 * time.Millisecond}),
		Cut:    network.cut, Restore: network.back,
		Release: func() {
			_ = client.Close()
			network.stop()
		},
	}
	if number%3 == 0 {
		n.Cut, n.Restore = network.freeze, network.thaw
	}
	return n
}

// A server that saves everything dies, pauses, and loses everything.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--appendonly", "yes")
	nodes := 0
	var resume func()
	brokertest.Soak(t, brokertest.SoakRig{
		Node: func() brokertest.SoakNode {
			nodes++
			return soakNode(t, nodes, s.addr(), func(addr string) redis.UniversalClient { return newClient(addr) })
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
