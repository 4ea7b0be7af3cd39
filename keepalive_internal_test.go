package websocket

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process that stood still, whatever stopped it, has not read what came
// meanwhile: its peers get their time anew.
func TestPeersOfAProcessThatStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport.Conn{Begun: time.Now()}
		options := &connOptions{pingInterval: 30 * time.Second, pongTimeout: 10 * time.Second}
		k := keepalive{c: &Conn{t: tr, options: options}, at: 30 * time.Second}
		tr.Waiting.Store(1)
		due, waiting := k.due(30 * time.Second)
		assert.True(t, waiting)
		assert.Equal(t, 40*time.Second, due)
		due, _ = k.due(35 * time.Second) // a little late
		assert.Equal(t, 40*time.Second, due)
		due, _ = k.due(time.Hour)
		assert.Equal(t, time.Hour+40*time.Second, due)
	})
}

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
				before = time.Duration(conn.t.SentAt.Load())
				if err := conn.Enqueue(QueueLimit{}, message); err != nil {
					return err
				}
				conn.Flush()
				conn.t.AwaitFlush()
				after = time.Duration(conn.t.SentAt.Load())
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
