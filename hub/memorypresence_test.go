package hub_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
)

func TestMemoryPresence(t *testing.T) {
	brokertest.TestPresence(t, func(*testing.T) brokertest.Network {
		var network hub.Memory
		return func(*testing.T) hub.Broker { return network.Node() }
	})
}
