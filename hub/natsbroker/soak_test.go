package natsbroker_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// A server with JetStream restarts with its streams, and loses them.
func TestSoak(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := startServer(t, withJetStream(folder))
	nodes := 0
	brokertest.Soak(t, brokertest.SoakRig{
		Node: func() brokertest.SoakNode {
			nodes++
			return soakNode(t, nodes, s.Addr().String(), natsbroker.JetStreamOptions{Messages: 10_000})
		},
		Faults: []brokertest.SoakFault{
			{
				Name:  "the server restarts and keeps its data",
				Begin: func() { stopServer(s) },
				End:   func() { s = again(t, s, withJetStream(folder)) },
			},
			{
				Name: "the server loses everything", LosesHistory: true,
				Begin: func() { stopServer(s) },
				End: func() {
					folder = t.TempDir()
					s = again(t, s, withJetStream(folder))
				},
			},
		},
	})
}

// A server of a cluster of three is killed, most often the one that leads, and comes back. Each node knows one
// of the servers.
func TestSoakInCluster(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	for i, s := range c.servers {
		c.clients[i] = s.Addr().(*net.TCPAddr).Port //nolint:errcheck // it is one
	}
	nodes, killed := 0, 0
	kill := func(choose func(*server.Server) bool) func() {
		return func() {
			killed = max(slices.IndexFunc(c.servers, choose), 0)
			stopServer(c.servers[killed])
		}
	}
	back := func() {
		c.servers[killed] = c.again(t, killed)
		require.True(t, c.servers[killed].ReadyForConnections(patience))
	}
	brokertest.Soak(t, brokertest.SoakRig{
		Node: func() brokertest.SoakNode {
			nodes++
			options := natsbroker.JetStreamOptions{Messages: 10_000, Replicas: 3}
			return soakNode(t, nodes, fmt.Sprint("127.0.0.1:", c.clients[nodes%3]), options)
		},
		Faults: []brokertest.SoakFault{
			{Name: "the leader is killed", Begin: kill((*server.Server).JetStreamIsLeader), End: back},
			{Name: "a follower is killed", Begin: kill(func(s *server.Server) bool { return !s.JetStreamIsLeader() }), End: back},
		},
	})
}

// soakNode returns a node whose network fails in one of two ways: connections break, or nothing arrives.
func soakNode(t *testing.T, number int, addr string, options natsbroker.JetStreamOptions) brokertest.SoakNode {
	t.Helper()
	network := startProxy(t, addr)
	closed := make(chan struct{})
	nc, err := nats.Connect(network.url(), nats.RetryOnFailedConnect(true), nats.NoEcho(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.PingInterval(300*time.Millisecond), nats.MaxPingsOutstanding(2), nats.Timeout(time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	n := brokertest.SoakNode{
		Broker: newJetStream(t, nc, options),
		Cut:    network.cut, Restore: network.back,
		Release: func() {
			network.thaw()
			nc.Close()
			<-closed
			network.stop()
		},
	}
	if number%3 == 0 {
		n.Cut, n.Restore = network.freeze, network.thaw
	}
	return n
}
