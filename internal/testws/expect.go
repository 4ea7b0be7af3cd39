package testws

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// AwaitEnd waits until the upgrader has no connection left. It ends none of them.
func AwaitEnd(t *testing.T, u *websocket.Upgrader) {
	t.Helper()
	require.Eventually(t, func() bool {
		stats := u.Stats() // a client has the 101 before it is counted
		return stats.Upgrades > 0 && stats.Open == 0
	}, 30*time.Second, time.Millisecond)
}

// RequireIdle checks that no connection is open or counted as open: Shutdown returns
// without waiting.
func RequireIdle(t *testing.T, endpoint interface {
	Shutdown(ctx context.Context) error
}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, endpoint.Shutdown(ctx))
}

// AssertElapsed asserts that exactly this much time has passed since start.
func AssertElapsed(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	assert.Equal(t, want, time.Since(start))
}

// Descriptors returns the number of open files of the process, or 0 if it is not known.
func Descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("descriptors are not counted here:", err)
		return 0
	}
	return len(files)
}

// RequireQueued requires the number of messages and bytes that wait to be written.
func RequireQueued(t *testing.T, conn *websocket.Conn, messages, bytes int) {
	t.Helper()
	gotMessages, gotBytes := conn.Queued()
	require.Equal(t, messages, gotMessages, "messages")
	require.Equal(t, bytes, gotBytes, "bytes")
}
