//go:build !race

package hub_test

import (
	"runtime"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heap returns the number of bytes in use, and the number of goroutines.
func heap() (bytes uint64, goroutines int) {
	for range 3 { // the second one empties the pools
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse, runtime.NumGoroutine()
}

// An idle member uses no goroutine, no buffer and at most 300 bytes, also after it has received a
// message.
func TestQuietMembersAreSmall(t *testing.T) {
	const members, most = 4000, 300
	r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{})
	clients := make([]*wstest.Raw, members)
	conns := make([]*websocket.Conn, members)
	for i := range clients {
		clients[i] = wstest.DialRaw(t, r.target, "/", &wstest.Options{Timeout: -1}) // a timer would use memory
		conns[i] = <-r.conns
	}
	bare, goroutines := heap()
	check := func(when string) {
		t.Helper()
		now, n := heap()
		each := (int64(now) - int64(bare)) / members
		t.Logf("%s: %d bytes a member", when, each)
		assert.LessOrEqual(t, each, int64(most), when)
		assert.InDelta(t, goroutines, n, 10, when)
	}

	for _, conn := range conns {
		_, err := h.Join(conn, "lobby")
		require.NoError(t, err)
	}
	check("joined")
	for range 3 {
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("hello")))
		for _, client := range clients {
			client.Expect(wstest.Text("hello"))
		}
	}
	check("after a broadcast")
	runtime.KeepAlive(clients)
}
