package transport

import (
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
			return tr.writeFrame(&b, wire.OpBinary, []byte("x"))
		}
		for range 10 {
			require.NoError(t, write())
		}
		assert.Equal(t, 20, socket.set, "set and taken back: other code may write there")

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
		_ = client.SetReadDeadline(time.Unix(1, 0)) // so that the client reads no more
		synctest.Wait()
		start := time.Now()
		require.ErrorIs(t, write(), os.ErrDeadlineExceeded)
		assert.Equal(t, 15*time.Second, time.Since(start))
		assert.Equal(t, 5, socket.set, "a write that waits is checked three times more")
		_ = client.Close()
	})
}
