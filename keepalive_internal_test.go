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

// A process that stood still, whatever stopped it, has not read what came
// meanwhile: its peers get their time anew.
func TestPeersOfAProcessThatStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		options := &connOptions{pingInterval: 30 * time.Second, pongTimeout: 10 * time.Second}
		tr := transport.New(server, nil, options.config(new(sync.Pool), 0, 0))
		k := keepalive{c: &Conn{t: tr, options: options}, at: 30 * time.Second}
		read := make(chan error, 1)
		go func() {
			_, _, err := tr.ReadMessage(context.Background(), false) // it waits from the beginning on
			read <- err
		}()
		synctest.Wait()
		due, waiting := k.due(30 * time.Second)
		assert.True(t, waiting)
		assert.Equal(t, 40*time.Second, due)
		due, _ = k.due(35 * time.Second) // a little late
		assert.Equal(t, 40*time.Second, due)
		due, _ = k.due(time.Hour)
		assert.Equal(t, time.Hour+40*time.Second, due)
		require.NoError(t, client.Close())
		require.Error(t, <-read)
		tr.Abort()
	})
}
