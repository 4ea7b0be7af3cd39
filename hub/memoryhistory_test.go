package hub_test

import (
	"fmt"
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

// Memory drops an entry at the instant when it is too old, and then forgets a room that nobody
// uses, with its epoch. As long as a hub is subscribed, the epoch stays.
func TestMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		node := network.Node()
		history := node.(hub.HistoryBroker) //nolint:errcheck // it is
		keep := hub.Keep{Messages: 10, Age: time.Hour}
		require.NoError(t, node.Subscribe(hub.Room("used")))
		first := make(map[hub.Topic]hub.Entry)
		for _, topic := range []hub.Topic{hub.Room("used"), hub.Room("unused")} {
			e, err := history.Append(t.Context(), topic, []byte("hello"), keep)
			require.NoError(t, err)
			first[topic] = e
		}
		kept := func(topic hub.Topic) ([]hub.Entry, hub.Position) {
			entries, newest, err := history.Read(t.Context(), topic, hub.Position{}, 10)
			require.NoError(t, err)
			return entries, newest
		}
		time.Sleep(time.Hour - 1)
		for topic, e := range first {
			entries, newest := kept(topic)
			assert.Equal(t, []hub.Entry{e}, entries)
			assert.Equal(t, e.Position, newest)
		}
		time.Sleep(time.Nanosecond)
		for topic, e := range first {
			entries, newest := kept(topic)
			assert.Empty(t, entries)
			assert.Equal(t, e.Position, newest)
		}
		time.Sleep(time.Hour - 1)
		_, newest := kept(hub.Room("another")) // removes what nobody uses
		assert.NotEmpty(t, newest.Epoch)
		time.Sleep(time.Hour)
		for topic, e := range first {
			_, newest := kept(topic)
			assert.Equal(t, topic == hub.Room("used"), newest == e.Position, "%v: %v, %v", topic, newest, e.Position)
		}
	})
}

// Reading rooms that do not exist leaves nothing behind for long.
func TestMemoryForgetsEmptyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		history := network.Node().(hub.HistoryBroker) //nolint:errcheck // it is
		epoch := func(i int) string {
			_, newest, err := history.Read(t.Context(), hub.Room(fmt.Sprint(i)), hub.Position{}, 1)
			require.NoError(t, err)
			return newest.Epoch
		}
		first := epoch(0)
		for i := range 1000 {
			epoch(i)
		}
		assert.Equal(t, first, epoch(0))
		time.Sleep(time.Minute)
		epoch(1)
		assert.NotEqual(t, first, epoch(0))
	})
}
