package redisbroker_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func newBroker(t testing.TB, client redis.UniversalClient, options redisbroker.Options) *redisbroker.Broker {
	t.Helper()
	b, err := redisbroker.New(client, options)
	require.NoError(t, err)
	return b
}

func TestBroker(t *testing.T) {
	t.Parallel()
	t.Run("a client for each", func(t *testing.T) {
		brokertest.Test(t, func(t *testing.T) brokertest.Network {
			s := startServer(t)
			return func(t *testing.T) hub.Broker {
				return newBroker(t, connect(t, s.addr()), redisbroker.Options{})
			}
		})
	})
	t.Run("one client for all, with RESP2", func(t *testing.T) {
		brokertest.Test(t, func(t *testing.T) brokertest.Network {
			client := connect(t, startServer(t).addr(), func(o *redis.Options) { o.Protocol = 2 })
			return func(t *testing.T) hub.Broker { return newBroker(t, client, redisbroker.Options{}) }
		})
	})
}
