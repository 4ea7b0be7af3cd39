package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A peer that reads nothing is gone after WriteTimeout, and delays no caller.
func TestReaderThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.Controller{}
		conns := make(chan *websocket.Conn, 1)
		ctrl.ServeFunc = func(conn *websocket.Conn, r *http.Request) error {
			conns <- conn
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}
		u := websocket.New(ctrl)
		u.WriteTimeout = 3 * time.Second
		_ = wstest.DialRaw(t, u, "/", nil)
		conn := <-conns
		start := time.Now()
		message := testws.EncodeSize(t, 10_000)
		limit := websocket.QueueLimit{Messages: 10}
		for range 10 { // of which the network takes six
			require.NoError(t, conn.Enqueue(limit, message))
			conn.Flush()
		}
		synctest.Wait()
		left, _ := conn.Queued()
		require.GreaterOrEqual(t, left, 4)
		require.NoError(t, conn.Enqueue(limit, testws.Repeat(10-left, message)...))
		require.ErrorIs(t, conn.Enqueue(limit, message), websocket.ErrQueueFull)
		conn.Flush()
		waiting := make(chan error, 1)
		go func() { waiting <- conn.EnqueueContext(context.Background(), limit, message) }()
		synctest.Wait()
		testws.AssertElapsed(t, start, 0)

		err := <-waiting
		testws.AssertElapsed(t, start, 3*time.Second)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.True(t, websocket.IsDisconnect(err))
		assert.Equal(t, err, context.Cause(conn.Context()))
		assert.Equal(t, err, conn.WriteMessage(websocket.TextMessage, nil), "later writes")
		assert.Equal(t, err, conn.Enqueue(limit, message), "later messages")
		assert.Equal(t, err, conn.EnqueueContext(context.Background(), limit, message), "later messages")
		conn.Flush()
		testws.AwaitEnd(t, u)
		assert.Equal(t, err, conn.Enqueue(limit, message), "and when all is over")
		testws.RequireQueued(t, conn, 0, 0)
		require.Len(t, ctrl.Told.All(), 1)
		assert.ErrorIs(t, ctrl.Told.All()[0], err)
	})
}

// In TestWriteTimeoutIsForEachWrite, the peer reads a little from time to time.
func TestWriteTimeoutIsForEachWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 3 * time.Second, PingInterval: -1})
		start := time.Now()
		for i := range 20 {
			require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, fmt.Sprint(i)+strings.Repeat(" ", 32<<10))))
		}
		conn.Flush()
		for i := range 20 {
			time.Sleep(2 * time.Second)
			f, err := client.Receive()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), strings.TrimSpace(string(f.Payload)))
		}
		testws.AssertElapsed(t, start, 40*time.Second)
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, nil))
	})
}

// In TestSlowReader, the peer does not read until the queue is full, then receives all messages
// that were enqueued.
func TestSlowReader(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		full := make(chan int, 1)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			taken := 0
			for size := 0; ; size = (size*7 + 1) % 50_000 {
				err := conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, fmt.Sprint(taken, strings.Repeat(" ", size))))
				if errors.Is(err, websocket.ErrQueueFull) {
					break
				}
				if err != nil {
					return err
				}
				taken++
				conn.Flush()
			}
			full <- taken
			return testws.ReadLoop(testws.Returned)(conn, r)
		}))
		client := wstest.Dial(t, serve(u), "/", nil)
		taken := <-full
		require.Positive(t, taken)
		for i := range taken {
			_, p, err := client.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(bytes.TrimSpace(p)))
		}
		client.Close(1000, "")
		testws.AwaitEnd(t, u)
		assert.EqualValues(t, taken, u.Stats().MessagesSent)
	})
}
