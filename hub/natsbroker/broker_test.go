package natsbroker_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestBroker(t *testing.T) {
	broker := func(t *testing.T, nc *nats.Conn) hub.Broker {
		t.Helper()
		b, err := natsbroker.New(nc, natsbroker.Options{})
		require.NoError(t, err)
		return b
	}
	t.Run("a connection for each, without echo", func(t *testing.T) {
		brokertest.Test(t, func(t *testing.T) brokertest.Network {
			s := startServer(t)
			return func(t *testing.T) hub.Broker { return broker(t, connect(t, s.ClientURL())) }
		})
	})
	t.Run("one connection for all, with echo", func(t *testing.T) {
		brokertest.Test(t, func(t *testing.T) brokertest.Network {
			nc := connect(t, startServer(t).ClientURL(), echo)
			return func(t *testing.T) hub.Broker { return broker(t, nc) }
		})
	})
	t.Run("a cluster of two", func(t *testing.T) {
		brokertest.Test(t, func(t *testing.T) brokertest.Network {
			one, two := startCluster(t)
			nodes := 0
			return func(t *testing.T) hub.Broker {
				nodes++
				if nodes%2 == 0 {
					return unaware{broker(t, connect(t, two.ClientURL()))}
				}
				return unaware{broker(t, connect(t, one.ClientURL()))}
			}
		})
	})
}

// unaware is a broker that is no hub.SubscriptionWaiter: what this one promises holds for the
// node's own server, and for the others of a cluster a moment later.
type unaware struct{ hub.Broker }

// echo undoes nats.NoEcho.
func echo(o *nats.Options) error {
	o.NoEcho = false
	return nil
}
