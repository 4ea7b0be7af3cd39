package redisbroker_test

import (
	"strconv"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
)

func TestPresence(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	networks := 0
	brokertest.TestPresence(t, func(t *testing.T) brokertest.Network {
		networks++
		options := redisbroker.Options{Prefix: "net" + strconv.Itoa(networks)}
		return func(t *testing.T) hub.Broker { return newBroker(t, connect(t, s.addr()), options) }
	})
}

func TestPresenceInCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, false)
	networks := 0
	brokertest.TestPresence(t, func(t *testing.T) brokertest.Network {
		networks++
		options := redisbroker.Options{Prefix: "net" + strconv.Itoa(networks)}
		return func(t *testing.T) hub.Broker { return newBroker(t, connectCluster(t, servers), options) }
	})
}
