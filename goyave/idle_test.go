//go:build !race

package websocket_test

import (
	"fmt"
	"net"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/parse"
)

// A connection that waits for its first message has the smallest stack, as without Goyave, although
// the call is deeper. A hundred bytes more would double the stack, by two thousand bytes.
func TestWaitIsShallow(t *testing.T) {
	t.Run("Serve", func(t *testing.T) { waitIsShallow(t, websocket.New(&plain{})) })
	t.Run("OnMessage", func(t *testing.T) { waitIsShallow(t, websocket.NewMessages(&byMessage{})) })
}

func waitIsShallow(t *testing.T, upgrader *websocket.Upgrader) {
	const many = 500
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(log.CombinedLogMiddleware(), &parse.Middleware{})
		router.Subrouter("/ws").Controller(upgrader)
	})
	wstest.Dial(t, a.url, "/ws", nil).Close(websocket.CloseNormalClosure, "")
	before := stacks()
	request := fmt.Sprintf("GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", a.Host())
	for range many {
		client, err := net.Dial("tcp", a.Host()) //nolint:noctx // it is there
		require.NoError(t, err)
		defer func() { _ = client.Close() }()
		_, err = client.Write([]byte(request))
		require.NoError(t, err)
		n, err := client.Read(make([]byte, 1024))
		require.NoError(t, err)
		require.Positive(t, n)
	}
	require.Eventually(t, func() bool { return upgrader.Stats().Open == many }, patience, time.Millisecond)
	var each int64
	assert.Eventually(t, func() bool {
		each = (stacks() - before) / many
		return each < 3<<10
	}, 10*time.Second, 100*time.Millisecond)
	t.Logf("%d bytes", each)
}

// stacks returns the number of bytes in all stacks.
func stacks() int64 {
	runtime.GC() // frees the stacks of goroutines that have ended
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // it is far from overflowing
}
