package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemoryHistory(t *testing.T) {
	brokertest.TestHistory(t, func(*testing.T) brokertest.Network {
		var network hub.Memory
		return func(*testing.T) hub.Broker { return network.Node() }
	})
}

func TestMemoryPresence(t *testing.T) {
	brokertest.TestPresence(t, func(*testing.T) brokertest.Network {
		var network hub.Memory
		return func(*testing.T) hub.Broker { return network.Node() }
	})
}

// The history of a room to which a hub is subscribed is not forgotten, as that of others is.
func TestMemoryForgetsNoSubscribedRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		node := network.Node()
		history := node.(hub.HistoryBroker) //nolint:errcheck // it is
		epoch := func(room string) string {
			_, newest, err := history.Read(t.Context(), hub.Room(room), hub.Position{}, 1)
			require.NoError(t, err)
			return newest.Epoch
		}
		require.NoError(t, node.Subscribe(hub.Room("used")))
		used, unused := epoch("used"), epoch("unused")
		time.Sleep(time.Hour)
		epoch("another") // removes what nobody uses
		assert.Equal(t, used, epoch("used"))
		assert.NotEqual(t, unused, epoch("unused"))
	})
}
