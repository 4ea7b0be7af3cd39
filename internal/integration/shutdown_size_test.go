package integration_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// idle opens a connection and returns a function that waits for its end: it reads the
// server's close frame, however late it comes, answers it and returns its code.
func idle(t *testing.T, server *wstest.Server) (expect func() int) {
	t.Helper()
	conn, err := server.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, testws.UpgradeBare(t, conn))
	return func() int {
		defer func() { _ = conn.Close() }()
		frame, err := wstest.ReadFrame(conn)
		if !assert.NoError(t, err) || !assert.Equal(t, byte(wstest.OpClose), frame.Opcode) {
			return 0
		}
		_, _ = conn.Write(wstest.Close(1001, "").Bytes())
		_, err = conn.Read(make([]byte, 1))
		assert.Equal(t, io.EOF, err)
		return int(frame.Payload[0])<<8 | int(frame.Payload[1])
	}
}

// Ten thousand idle connections are closed together.
func TestShutdownAtSize(t *testing.T) {
	const size = 10_000
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		server := wstest.Serve(t, u)

		expects := make([]func() int, size)
		for i := range expects {
			expects[i] = idle(t, server)
		}
		synctest.Wait()
		require.Equal(t, size, u.Stats().Open)

		var told sync.WaitGroup
		var going atomic.Int32
		start := time.Now()
		for _, expect := range expects {
			told.Go(func() {
				if expect() == websocket.CloseGoingAway {
					going.Add(1)
				}
				assert.Zero(t, time.Since(start))
			})
		}
		require.NoError(t, u.Shutdown(t.Context()))
		testws.AssertElapsed(t, start, 0)
		told.Wait()
		assert.EqualValues(t, size, going.Load())
		stats := u.Stats()
		assert.Zero(t, stats.Open)
		assert.EqualValues(t, size, stats.CloseSent[1001])
		assert.EqualValues(t, size, stats.CloseReceived[1001])
	})
}

func TestShutdownCutsAndCountsWhatHangs(t *testing.T) {
	const size, hanging = 500, 7
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var served atomic.Int32
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			if served.Add(1) <= hanging {
				<-hang
			}
			return testws.Echo(conn, r)
		}))
		server := wstest.Serve(t, u)
		var told sync.WaitGroup
		for range size {
			expect := idle(t, server)
			told.Go(func() { assert.Equal(t, websocket.CloseGoingAway, expect()) })
		}
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		err := u.Shutdown(ctx)
		testws.AssertElapsed(t, start, 20*time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "connections cut: 7:")
		assert.Equal(t, hanging, u.Stats().Open)
		told.Wait()
		close(hang)
		synctest.Wait()
		assert.Zero(t, u.Stats().Open)
	})
}

// Clients that connect while the server shuts down are either refused or closed; none is
// forgotten.
func TestShutdownRacesWithUpgrades(t *testing.T) {
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		const clients = 64
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		target := serve(u)
		var connecting sync.WaitGroup
		var refused, ended atomic.Int32
		for i := range clients {
			connecting.Go(func() {
				for {
					switch status := connectOnce(t, target); status {
					case http.StatusServiceUnavailable:
						refused.Add(1)
						return
					case http.StatusSwitchingProtocols:
						ended.Add(1)
					default:
						assert.Fail(t, "status", "%d of client %d", status, i)
						return
					}
				}
			})
		}
		require.Eventually(t, func() bool { return u.Stats().Upgrades >= clients }, 20*time.Second, time.Millisecond)
		require.NoError(t, u.Shutdown(t.Context()))
		stats := u.Stats()
		assert.Zero(t, stats.Open)
		connecting.Wait()
		assert.EqualValues(t, clients, refused.Load())
		assert.EqualValues(t, stats.Upgrades, ended.Load())
		assert.EqualValues(t, clients, u.Stats().Refusals[http.StatusServiceUnavailable])
		assert.Equal(t, stats.Upgrades, u.Stats().CloseSent[1001]+u.Stats().CloseSent[1000])
	}, testws.Memory, testws.TCP)
}

// connectOnce connects, then closes the connection or is closed, and returns the status of
// the handshake.
func connectOnce(t *testing.T, target any) int {
	t.Helper()
	conn, err := testws.DialBare(t, target)
	if !assert.NoError(t, err) {
		return 0
	}
	defer func() { _ = conn.Close() }()
	status := testws.UpgradeBare(t, conn)
	if status == http.StatusSwitchingProtocols {
		_, _ = conn.Write(wstest.Close(1000, "").Bytes()) // it may be closed by now
		frame, err := wstest.ReadFrame(conn)
		if assert.NoError(t, err) {
			assert.Equal(t, byte(wstest.OpClose), frame.Opcode)
		}
	}
	return status
}
