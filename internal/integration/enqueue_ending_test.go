package integration_test

import (
	"context"
	"net"
	"net/http"
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

// Messages that were never flushed are sent when their connection ends.
func TestEndSendsWhatWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(u *websocket.Upgrader, conn *websocket.Conn) error
		code int
		text string
	}{
		"Close": {
			end:  func(_ *websocket.Upgrader, conn *websocket.Conn) error { return conn.Close(4000, "bye") },
			code: 4000, text: "bye",
		},
		"Serve returns":          {end: func(*websocket.Upgrader, *websocket.Conn) error { return nil }, code: 1000, text: websocket.NormalClosureMessage},
		"Serve returns an error": {end: func(*websocket.Upgrader, *websocket.Conn) error { return testws.ErrDatabase }, code: 1011, text: "Internal Server Error"},
		"Serve panics":           {end: func(*websocket.Upgrader, *websocket.Conn) error { panic("oh") }, code: 1011, text: "Internal Server Error"},
		"Shutdown": {
			end: func(u *websocket.Upgrader, conn *websocket.Conn) error {
				conn.Go(func(context.Context) error { return testws.ReadLoop(testws.Returned)(conn, nil) })
				down := make(chan error, 1)
				go func() { down <- u.Shutdown(context.Background()) }()
				<-conn.Context().Done()
				go func() { assert.NoError(t, <-down) }()
				return nil
			},
			code: 1001, text: "Server shutting down",
		},
	} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				message := testws.Encode(t, strings.Repeat("x", 10_000))
				var u *websocket.Upgrader
				u = websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					if err := conn.Enqueue(testws.Unlimited, testws.Repeat(300, message)...); err != nil { // 3 MB
						return err
					}
					return tc.end(u, conn)
				}))
				u.Logger = testws.Silent
				client := wstest.Dial(t, serve(u), "/", nil)
				for range 300 {
					client.ExpectText(strings.Repeat("x", 10_000))
				}
				client.ExpectClose(tc.code, tc.text)
				testws.AwaitEnd(t, u)
			})
		})
	}
}

func TestCloseIsBoundedWhateverWaits(t *testing.T) {
	t.Run("the peer takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{CloseTimeout: 2 * time.Second})
			require.NoError(t, conn.Enqueue(testws.Unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			start := time.Now()
			closed := make(chan error, 1)
			go func() { closed <- conn.Close(1000, "") }()
			synctest.Wait()
			require.Equal(t, websocket.ErrCloseSent, conn.Enqueue(testws.Unlimited, testws.Encode(t, "late")))
			require.Equal(t, websocket.ErrCloseSent, conn.EnqueueContext(t.Context(), websocket.QueueLimit{}, testws.Encode(t, "late")))
			testws.AssertElapsed(t, start, 0)
			require.ErrorIs(t, <-closed, net.ErrClosed)
			testws.AssertElapsed(t, start, 2*time.Second)
			testws.RequireQueued(t, conn, 0, 0)
		})
	})
	t.Run("the peer takes its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: 2 * time.Second})
			require.NoError(t, conn.Enqueue(testws.Unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			closed := make(chan error, 1)
			start := time.Now()
			go func() { closed <- conn.Close(1000, "") }()
			time.Sleep(2*time.Second - 1)
			for range 300 {
				f, err := client.Receive()
				require.NoError(t, err)
				require.Len(t, f.Payload, 10_000)
			}
			client.ExpectClose(1000, "")
			client.Send(wstest.Close(1000, ""))
			require.NoError(t, <-closed)
			testws.AssertElapsed(t, start, 2*time.Second-1)
		})
	})
	t.Run("a message is being streamed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: 2 * time.Second})
			w, err := conn.NextWriter(websocket.TextMessage)
			require.NoError(t, err)
			require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "behind it")))
			conn.Flush()
			client.Send(wstest.Close(1000, ""))
			start := time.Now()
			require.NoError(t, conn.Close(1000, ""), "the message may never be complete")
			testws.AssertElapsed(t, start, 0)
			client.ExpectClose(1000, "")
			require.Error(t, w.Close())
			testws.RequireQueued(t, conn, 0, 0)
		})
	})
	t.Run("a message was streamed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: 2 * time.Second})
			w, err := conn.NextWriter(websocket.TextMessage)
			require.NoError(t, err)
			require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "behind it")))
			require.NoError(t, w.Close())
			client.Send(wstest.Close(1000, ""))
			require.NoError(t, conn.Close(1000, ""))
			client.Expect(wstest.Text(""), wstest.Text("behind it"))
			client.ExpectClose(1000, "")
		})
	})
	t.Run("without a close timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{CloseTimeout: -1})
			require.NoError(t, conn.Enqueue(testws.Unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			conn.Flush()
			start := time.Now()
			_ = conn.Close(1000, "")
			assert.LessOrEqual(t, time.Since(start), 10*time.Millisecond)
			testws.RequireQueued(t, conn, 0, 0)
		})
	})
	t.Run("CloseNow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			require.NoError(t, conn.Enqueue(testws.Unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			conn.Flush()
			start := time.Now()
			require.NoError(t, conn.CloseNow())
			testws.AssertElapsed(t, start, 0)
			require.ErrorIs(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "late")), net.ErrClosed)
			testws.RequireQueued(t, conn, 0, 0)
		})
	})
	t.Run("Shutdown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conns := make(chan *websocket.Conn, 1)
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
				conns <- conn
				return testws.ReadLoop(testws.Returned)(conn, r)
			}))
			_ = wstest.DialRaw(t, u, "/", nil)
			conn := <-conns
			require.NoError(t, conn.Enqueue(testws.Unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			start := time.Now()
			require.ErrorIs(t, u.Shutdown(ctx), context.DeadlineExceeded)
			testws.AssertElapsed(t, start, 4*time.Second)
		})
	})
}

// A caller that does not know of the close frame yet enqueues a message.
func TestEnqueueAfterACloseFrame(t *testing.T) {
	for name, tc := range map[string]func(client *wstest.Raw, conn *websocket.Conn){
		"of ours": func(_ *wstest.Raw, conn *websocket.Conn) {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
		},
		"of the peer": func(client *wstest.Raw, conn *websocket.Conn) {
			client.Send(wstest.Close(1000, ""))
			_, _, _ = conn.ReadMessage()
		},
		"of Close": func(client *wstest.Raw, conn *websocket.Conn) {
			client.Send(wstest.Close(1000, ""))
			_ = conn.Close(1000, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				tc(client, conn)
				require.Equal(t, websocket.ErrCloseSent, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "late")))
				require.Equal(t, websocket.ErrCloseSent, conn.EnqueueContext(t.Context(), websocket.QueueLimit{}, testws.Encode(t, "late")))
				conn.Flush()
				client.ExpectClose(1000, "")
			})
		})
	}
	t.Run("what waits then is dropped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			limit := websocket.QueueLimit{Messages: 1}
			require.NoError(t, conn.Enqueue(limit, testws.Encode(t, "dropped")))
			require.NoError(t, conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{}))
			start := time.Now()
			conn.Flush()
			testws.RequireQueued(t, conn, 0, 0)
			require.Equal(t, websocket.ErrCloseSent, conn.EnqueueContext(t.Context(), limit, testws.Encode(t, "late")))
			testws.AssertElapsed(t, start, 0)
			client.ExpectClose(1000, "")
		})
	})
}
