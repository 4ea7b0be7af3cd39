package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testPanic is an error of a panic, as the layer above would make it.
type testPanic struct{ value any }

func (p testPanic) Error() string { return fmt.Sprint("panic: ", p.value) }

var testPanics = &Panics{
	New: func(value any) error { return testPanic{value} },
	Is:  func(err error) bool { return errors.As(err, new(testPanic)) },
}

// newConfig returns settings like the defaults of Options, with changes.
func newConfig(changes ...func(*Config)) *Config {
	c := &Config{WriteTimeout: 10 * time.Second, CloseTimeout: 10 * time.Second, ReadBuffers: &sync.Pool{}, Panics: testPanics}
	for _, change := range changes {
		change(c)
	}
	return c
}

// deadlines counts how often a deadline is set for writes.
type deadlines struct {
	net.Conn
	set int
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.set++
	return d.Conn.SetWriteDeadline(at)
}

// The deadline of a socket serves many writes, none of which gets more than
// WriteTimeout or less than fifteen sixteenths of it.
func TestWriteDeadlinesAreCoarse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		socket := &deadlines{Conn: server}
		tr := New(socket, nil, newConfig(func(c *Config) { c.WriteTimeout = 16 * time.Second }))
		tr.open = true
		write := func() error {
			b := tr.ownDeadline()
			return tr.WriteFrame(&b, wire.OpBinary, []byte("x"))
		}
		for range 10 {
			require.NoError(t, write())
		}
		assert.Equal(t, 20, socket.set, "set and taken back: who knows what writes there")

		tr.coarse, socket.set = true, 0
		for range 100 {
			require.NoError(t, write())
		}
		time.Sleep(time.Second)
		require.NoError(t, write())
		assert.Equal(t, 1, socket.set)
		time.Sleep(time.Nanosecond)
		require.NoError(t, write())
		assert.Equal(t, 2, socket.set)

		time.Sleep(time.Second)
		_ = client.SetReadDeadline(time.Unix(1, 0)) // nobody reads any more
		synctest.Wait()
		start := time.Now()
		require.ErrorIs(t, write(), os.ErrDeadlineExceeded)
		assert.Equal(t, 15*time.Second, time.Since(start))
		assert.Equal(t, 5, socket.set, "a write that waits is looked at three times more")
		_ = client.Close()
	})
}

// On a socket, a write is looked at before its time is over, and goes on if something of
// it was taken.
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
			errs <- tr.WriteFrame(&b, wire.OpBinary, make([]byte, 10_000))
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
		"something before the first look":    {[]time.Duration{3 * time.Second}, 16 * time.Second},
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
			for _, at := range []time.Duration{4 * time.Second, 9 * time.Second} { // at a look, and between two
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
