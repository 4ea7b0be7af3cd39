package natsbroker_test

import (
	"fmt"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go/jetstream"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	brokertest.TestHistory(t, func(t *testing.T) brokertest.Network {
		s := startJetStream(t)
		return func(t *testing.T) hub.Broker {
			return newJetStream(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Messages: 10_000})
		}
	})
}

// In a cluster of three, each node is connected to another server, and a server that answers a read may be
// behind.
func TestHistoryInACluster(t *testing.T) {
	t.Parallel()
	brokertest.TestHistory(t, clusterNetwork(startThree(t)))
}

// clusterNetwork returns networks that share a cluster, each with a prefix of its own.
func clusterNetwork(c *cluster) func(t *testing.T) brokertest.Network {
	networks := 0
	return func(*testing.T) brokertest.Network {
		networks++
		prefix, nodes := fmt.Sprint("network", networks), 0
		return func(t *testing.T) hub.Broker {
			nodes++
			return newJetStream(t, connect(t, c.servers[nodes%3].ClientURL()), natsbroker.JetStreamOptions{
				Options: natsbroker.Options{Prefix: prefix}, Replicas: 3, Messages: 10_000, Storage: jetstream.MemoryStorage,
			})
		}
	}
}
