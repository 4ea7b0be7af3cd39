package websocket

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process that was suspended has not read what arrived in the meantime: its peers get the
// whole time again.
func TestPeersOfAProcessThatWasSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		options := &connOptions{pingInterval: 30 * time.Second, pongTimeout: 10 * time.Second}
		tr := transport.New(server, nil, options.config(new(sync.Pool), 0, 0))
		c := &Conn{t: tr, options: options}
		c.keepalive.fireAt = 30 * time.Second
		read := make(chan error, 1)
		go func() {
			_, _, err := tr.ReadMessage(context.Background(), false) // waits from the start of the connection
			read <- err
		}()
		synctest.Wait()
		goneAt, waiting := c.peerGoneAt(30 * time.Second)
		assert.True(t, waiting)
		assert.Equal(t, 40*time.Second, goneAt)
		goneAt, _ = c.peerGoneAt(35 * time.Second) // a little late
		assert.Equal(t, 40*time.Second, goneAt)
		goneAt, _ = c.peerGoneAt(time.Hour)
		assert.Equal(t, time.Hour+40*time.Second, goneAt)
		require.NoError(t, client.Close())
		require.Error(t, <-read)
		tr.Abort()
	})
}
