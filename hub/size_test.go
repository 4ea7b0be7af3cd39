//go:build !race

package hub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const many = 100_000

// fastest returns the shortest of several durations of f, which other load affects least.
func fastest(times int, f func()) time.Duration {
	best := time.Hour
	for range times {
		begun := time.Now()
		f()
		best = min(best, time.Since(begun))
	}
	return best
}

// roomForOne is the limit of a queue that has room for one large message only.
var roomForOne = websocket.QueueLimit{Messages: 1, Bytes: 32 << 20}

// A few connections stand for many members. Their clients do not read and their queues are full, so
// a message is only counted, and the test measures the hub's own work.
func crowd(t *testing.T, connections int) []*websocket.Conn {
	t.Helper()
	r := newRig(t, testws.TCP, websocket.Options{WriteTimeout: -1, PingInterval: -1})
	large, err := websocket.EncodeMessage(websocket.BinaryMessage, make([]byte, 16<<20))
	require.NoError(t, err)
	conns := make([]*websocket.Conn, connections)
	for i := range conns {
		_, conns[i] = r.connectRaw()
		require.NoError(t, conns[i].Enqueue(roomForOne, large))
		conns[i].Flush()
	}
	return conns
}

func TestManyMembersInOneRoom(t *testing.T) {
	h := hub.New(hub.Options{WhenFull: hub.DropNewest, Queue: roomForOne})
	conns := crowd(t, 10)
	members := make([]*hub.Member, many)
	joining := fastest(1, func() {
		for i := range members {
			var err error
			members[i], err = h.Join(conns[i%len(conns)], "lobby")
			require.NoError(t, err)
		}
	})
	t.Log("all join:", joining)
	assert.Less(t, joining, 5*time.Second)
	assert.Equal(t, many, h.CountIn("lobby"))

	before := h.Stats().Dropped
	broadcast := fastest(2, func() { require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("hello"))) })
	assert.EqualValues(t, 2*many, h.Stats().Dropped-before, "it reached all")
	t.Log("a broadcast to all:", broadcast)
	assert.Less(t, broadcast, 10*time.Second)

	require.NoError(t, members[0].Join("small"))
	require.NoError(t, members[1].SetKey("ann"))
	few := fastest(5, func() {
		require.NoError(t, h.To(hub.Room("small")).Send(hub.Text("hello")))
		require.NoError(t, h.To(hub.Key("ann")).Send(hub.Text("hello")))
		require.NoError(t, members[many-1].Join("small"))
		members[many-1].Leave("small", "lobby")
		require.NoError(t, members[many-1].Join("lobby"))
	})
	t.Log("a few among them:", few)
	assert.Less(t, few, broadcast/100, "it costs as much as all")
}

func TestManyRooms(t *testing.T) {
	h := hub.New(hub.Options{WhenFull: hub.DropNewest, Queue: roomForOne})
	conns := crowd(t, 10)
	members := make([]*hub.Member, many)
	rooms := numbers("room ", many)
	begun := time.Now()
	for i := range members {
		var err error
		members[i], err = h.Join(conns[i%len(conns)], rooms[i])
		require.NoError(t, err)
		require.NoError(t, members[i].SetKey(fmt.Sprint("key ", i)))
	}
	t.Log("all join:", time.Since(begun))
	assert.Less(t, time.Since(begun), 10*time.Second)
	assert.Equal(t, hub.Stats{Members: many, Rooms: many, Keys: many}, h.Stats())

	one := fastest(5, func() {
		for i := range 100 {
			require.NoError(t, h.To(hub.Room(rooms[i*7])).Send(hub.Text("hello")))
			members[i].Leave(rooms[i])
			require.NoError(t, members[i].Join(rooms[i]))
			require.NoError(t, h.To(hub.Key("nobody")).Disconnect(4000, ""))
		}
	})
	t.Log("a hundred of them:", one)
	assert.Less(t, one, 100*time.Millisecond, "it costs as much as all")
}

// One member may be in many rooms.
func TestMemberInManyRooms(t *testing.T) {
	h := hub.New(hub.Options{WhenFull: hub.DropNewest, Queue: roomForOne})
	member, err := h.Join(crowd(t, 1)[0])
	require.NoError(t, err)
	rooms := numbers("room ", many)
	begun := time.Now()
	require.NoError(t, member.Join(rooms...))
	require.NoError(t, member.Join(rooms...))
	require.NoError(t, h.To(hub.Room(rooms[many-1])).Send(hub.Text("hello")))
	assert.Len(t, member.Rooms(), many)
	member.Leave(rooms[:many/2]...)
	_ = member.Conn().CloseNow()
	eventually(t, func() bool { return h.Stats().Members == 0 && h.Stats().Rooms == 0 })
	t.Log("join and leave:", time.Since(begun))
	assert.Less(t, time.Since(begun), 10*time.Second)
}
