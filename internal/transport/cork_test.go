package transport

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The timer may fire while another goroutine writes. Once it has the lock, the reader may have
// found another whole frame.
func TestHeldFramesLeaveInTimeThoughMoreFramesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer func() { _ = client.Close() }()
		tr := New(server, nil, newConfig())
		tr.open = true
		tr.flags.set(moreBuffered)
		b := tr.ownDeadline()
		require.NoError(t, tr.writeFrame(&b, wire.OpBinary, []byte("x")))

		require.True(t, tr.frameLock.TryLock())
		time.Sleep(corkTime)
		synctest.Wait()            // the timer waits for the lock
		tr.flags.set(moreBuffered) // as the reader does
		tr.unlockFrame()

		got := make([]byte, 3)
		_ = client.SetReadDeadline(time.Now().Add(time.Second))
		_, err := io.ReadFull(client, got)
		require.NoError(t, err)
		assert.Equal(t, []byte{wire.BitFin | wire.OpBinary, 1, 'x'}, got)
		tr.StopBackground()
	})
}

// A writer that was about to hold a frame back when the connection ended sets no timer: nothing
// would stop it any more.
func TestNoTimerIsSetOnceBackgroundIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer func() { _ = client.Close() }()
		tr := New(server, nil, newConfig())
		tr.open = true
		tr.Abort()
		tr.StopBackground()
		tr.flags.set(moreBuffered)
		tr.appendCorked(wire.OpBinary, []byte("x"))
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.True(t, tr.flags.has(moreBuffered), "the timer would have cleared it")
	})
}
