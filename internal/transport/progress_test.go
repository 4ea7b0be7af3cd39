package transport

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// On a socket, a write is checked before its time is over, and resumed if something of it was
// taken.
func TestWriteGoesOnWhileTheSocketTakesSomething(t *testing.T) {
	slowWrite := func(t *testing.T, ctx context.Context) (client net.Conn, written <-chan error) {
		t.Helper()
		client, server := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		tr := New(server, nil, newConfig(func(c *Config) { c.WriteTimeout, c.CloseTimeout = 16*time.Second, 0 }))
		tr.open, tr.coarse = true, true
		errs := make(chan error, 1)
		go func() {
			b := tr.WriteDeadline(ctx)
			errs <- tr.writeFrame(&b, wire.OpBinary, make([]byte, 10_000))
		}()
		return client, errs
	}
	take := func(t *testing.T, client net.Conn, n int64) {
		t.Helper()
		_, err := io.CopyN(io.Discard, client, n)
		require.NoError(t, err)
	}
	for name, tc := range map[string]struct {
		takes []time.Duration // when some bytes are read
		want  time.Duration   // the error comes
	}{
		"nothing is taken":                   {nil, 16 * time.Second},
		"something before the first check":   {[]time.Duration{3 * time.Second}, 16 * time.Second},
		"something after it":                 {[]time.Duration{5 * time.Second}, 8*time.Second + 16*time.Second},
		"something at the last moment":       {[]time.Duration{15 * time.Second}, 16*time.Second + 16*time.Second},
		"something every now and then":       {[]time.Duration{15 * time.Second, 30 * time.Second, 45 * time.Second}, 48*time.Second + 16*time.Second},
		"a part of the header, and nothing":  {[]time.Duration{0}, 16 * time.Second},
		"a part of the header, then a byte ": {[]time.Duration{0, 6 * time.Second}, 8*time.Second + 16*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, written := slowWrite(t, context.Background())
				start := time.Now()
				for _, at := range tc.takes {
					time.Sleep(time.Until(start.Add(at)))
					take(t, client, 2)
				}
				require.ErrorIs(t, <-written, os.ErrDeadlineExceeded)
				assert.Equal(t, tc.want, time.Since(start))
			})
		})
	}
	t.Run("all of it in the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, written := slowWrite(t, context.Background())
			for range 100 {
				time.Sleep(10 * time.Second)
				take(t, client, 100)
			}
			take(t, client, 4) // the header
			require.NoError(t, <-written)
		})
	})
	t.Run("until the context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, at := range []time.Duration{4 * time.Second, 9 * time.Second} { // at a check, and between two
				ctx, cancel := context.WithTimeoutCause(t.Context(), at, io.ErrNoProgress)
				defer cancel()
				client, written := slowWrite(t, ctx)
				start := time.Now()
				time.Sleep(time.Second)
				take(t, client, 100)
				require.ErrorIs(t, <-written, io.ErrNoProgress)
				assert.Equal(t, at, time.Since(start))
			}
		})
	})
}
