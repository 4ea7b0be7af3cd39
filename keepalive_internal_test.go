package websocket

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A process that stood still, whatever stopped it, has not read what came
// meanwhile: its peers get their time anew.
func TestPeersOfAProcessThatStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{begun: time.Now()}
		options := &connOptions{pingInterval: 30 * time.Second, pongTimeout: 10 * time.Second}
		k := keepalive{c: &Conn{t: tr, options: options}, at: 30 * time.Second}
		tr.waiting.Store(1)
		due, waiting := k.due(30 * time.Second)
		assert.True(t, waiting)
		assert.Equal(t, 40*time.Second, due)
		due, _ = k.due(35 * time.Second) // a little late
		assert.Equal(t, 40*time.Second, due)
		due, _ = k.due(time.Hour)
		assert.Equal(t, time.Hour+40*time.Second, due)
	})
}
