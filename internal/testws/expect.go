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

// AwaitEnd waits until no connection of the upgrader is left, without hurrying any.
func AwaitEnd(t *testing.T, u *websocket.Upgrader) {
	t.Helper()
	require.Eventually(t, func() bool {
		stats := u.Stats() // a client has the 101 before it is counted
		return stats.Upgrades > 0 && stats.Open == 0
	}, 30*time.Second, time.Millisecond)
}

// RequireIdle checks that nothing is open, or counted as if it were: Shutdown
// has nothing to wait for.
func RequireIdle(t *testing.T, endpoint interface {
	Shutdown(ctx context.Context) error
}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, endpoint.Shutdown(ctx))
}

// AssertElapsed asserts that so much time has passed since start, to the nanosecond.
func AssertElapsed(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	assert.Equal(t, want, time.Since(start))
}

// Descriptors counts the open files of the process; 0 where that is not known.
func Descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("descriptors are not counted here:", err)
		return 0
	}
	return len(files)
}

// RequireQueued asserts what waits to be written.
func RequireQueued(t *testing.T, conn *websocket.Conn, messages, bytes int) {
	t.Helper()
	gotMessages, gotBytes := conn.Queued()
	require.Equal(t, messages, gotMessages, "messages")
	require.Equal(t, bytes, gotBytes, "bytes")
}
