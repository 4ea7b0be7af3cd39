package websocket

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Over TCP, what is enqueued leaves on another path than in memory, and counts as well.
// The time is kept for heartbeats alone.
func TestWhatIsFlushedAtOnceCountsForHeartbeats(t *testing.T) {
	message, err := EncodeMessage(TextMessage, []byte("news"))
	require.NoError(t, err)
	for name, interval := range map[string]time.Duration{"with heartbeats": time.Hour, "without": 0} {
		t.Run(name, func(t *testing.T) {
			var before, after time.Duration
			served := make(chan struct{})
			u := New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
				defer close(served)
				before = time.Duration(conn.t.sentAt.Load())
				if err := conn.Enqueue(QueueLimit{}, message); err != nil {
					return err
				}
				conn.Flush()
				conn.queue.Load().AwaitFlush(conn.t)
				after = time.Duration(conn.t.sentAt.Load())
				return nil
			}))
			u.HeartbeatInterval = interval
			server := httptest.NewServer(u)
			defer server.Close()
			client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // that of a 101 has none
			require.NoError(t, err)
			defer func() { _ = client.Close() }()
			_, _, err = client.ReadMessage()
			require.NoError(t, err)
			<-served
			assert.Equal(t, interval > 0, after > before)
		})
	}
}
