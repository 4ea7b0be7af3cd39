package redisbroker_test

import (
	"strconv"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	networks := 0
	brokertest.TestHistory(t, func(*testing.T) brokertest.Network {
		networks++
		options := redisbroker.Options{Prefix: "net" + strconv.Itoa(networks)}
		return func(t *testing.T) hub.Broker { return newBroker(t, connect(t, s.addr()), options) }
	})
}

func TestHistoryInCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, false)
	for _, unsharded := range []bool{false, true} {
		t.Run("unsharded: "+strconv.FormatBool(unsharded), func(t *testing.T) {
			networks := 0
			brokertest.TestHistory(t, func(*testing.T) brokertest.Network {
				networks++
				options := redisbroker.Options{Prefix: "net" + strconv.FormatBool(unsharded) + strconv.Itoa(networks), Unsharded: unsharded}
				return func(t *testing.T) hub.Broker { return newBroker(t, connectCluster(t, servers), options) }
			})
		})
	}
}
