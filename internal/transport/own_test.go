package transport

import (
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Over TCP, Flush itself writes what was enqueued. That counts for heartbeats as well, for which
// alone the time is kept.
func TestWhatIsFlushedAtOnceCountsForHeartbeats(t *testing.T) {
	frame := append(wire.AppendHeader(nil, wire.OpText, 4), "news"...)
	for name, heartbeats := range map[string]bool{"with heartbeats": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			client, tr := tcpPair(t, func(c *Config) { c.KeepSentAt = heartbeats })
			before := tr.LastSent()
			time.Sleep(time.Millisecond) // a clock may be coarse
			_, err := tr.Enqueue(QueueLimit{Messages: 1, Bytes: 100}, []Frame{{Bytes: frame}})
			require.NoError(t, err)
			tr.Flush()
			tr.awaitFlush()
			assert.Equal(t, heartbeats, tr.LastSent() > before)
			got := make([]byte, len(frame))
			_, err = client.Read(got)
			require.NoError(t, err)
			assert.Equal(t, frame, got)
		})
	}
}
