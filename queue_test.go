package websocket_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
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

// unlimited are limits that are none.
var unlimited = websocket.QueueLimit{Messages: -1, Bytes: -1}

// requireQueued asserts what waits to be written.
func requireQueued(t *testing.T, conn *websocket.Conn, messages, bytes int) {
	t.Helper()
	gotMessages, gotBytes := conn.Queued()
	require.Equal(t, messages, gotMessages, "messages")
	require.Equal(t, bytes, gotBytes, "bytes")
}

func TestEncodeMessage(t *testing.T) {
	m := testws.Encode(t, "hello")
	assert.Equal(t, "hello", string(m.Data()))
	assert.Len(t, testws.EncodeSize(t, 70_000).Data(), 70_000)
	for _, messageType := range []int{0, websocket.CloseMessage, websocket.PingMessage, websocket.PongMessage, -1} {
		_, err := websocket.EncodeMessage(messageType, nil)
		require.Error(t, err, messageType)
	}

	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		data := []byte("as it was")
		m, err := websocket.EncodeMessage(websocket.BinaryMessage, data)
		require.NoError(t, err)
		copy(data, "something")
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, m, testws.Encode(t, "")))
		conn.Flush()
		client.Expect(wstest.Binary([]byte("as it was")), wstest.Text(""))
	})
}

func TestEnqueue(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		server := serve(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for i := range 100 {
				if err := conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, fmt.Sprint(i))); err != nil {
					return err
				}
				if i%3 == 0 {
					conn.Flush()
				}
			}
			return nil
		})))
		client := wstest.Dial(t, server, "/", nil)
		for i := range 100 {
			client.ExpectText(fmt.Sprint(i))
		}
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	})
}

func TestNothingIsWrittenBeforeFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		conn.Flush() // there is nothing
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}))
		requireQueued(t, conn, 0, 0)
		conn.Flush()
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "enqueued")))
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("written")))
		require.Nil(t, func() *wstest.Frame { client.Expect(wstest.Text("written")); return readAway(client) }())
		requireQueued(t, conn, 1, 10)
		conn.Flush()
		client.Expect(wstest.Text("enqueued"))
		synctest.Wait()
		requireQueued(t, conn, 0, 0)
	})
}

// TestEnqueuedFramesLeaveTogether looks at the calls of the connection's Write.
func TestEnqueuedFramesLeaveTogether(t *testing.T) {
	sizes := func(calls [][]string) (all []int) {
		for _, call := range calls {
			all = append(all, len(call))
		}
		return all
	}
	for _, tc := range []struct {
		name  string
		sizes []int // of the messages
		want  []int // messages of each call
	}{
		{name: "one", sizes: []int{5}, want: []int{1}},
		{name: "small ones", sizes: []int{1, 2, 3}, want: []int{3}},
		{name: "just what fits into 32 KiB", sizes: []int{32<<10 - 4 - 2, 0, 0}, want: []int{2, 1}},
		{name: "one byte more", sizes: []int{32<<10 - 4 - 1, 0, 0}, want: []int{1, 2}},
		{name: "one that is longer than that", sizes: []int{1, 40_000, 1, 1}, want: []int{1, 1, 2}},
		{name: "long ones", sizes: []int{40_000, 40_000}, want: []int{1, 1}},
		{name: "many", sizes: slicesOf(40, 1020), want: []int{32, 8}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := make(chan *websocket.Conn, 1)
				client, server := testws.RecordWrites(t, func(conn *websocket.Conn, r *http.Request) error {
					conns <- conn
					return testws.ReadLoop(testws.Returned)(conn, r)
				})
				go func() { _, _ = io.Copy(io.Discard, client) }()
				conn := <-conns
				for _, size := range tc.sizes {
					require.NoError(t, conn.Enqueue(unlimited, testws.EncodeSize(t, size)))
				}
				conn.Flush()
				synctest.Wait()
				calls, _ := server.Reset(t)
				assert.Equal(t, tc.want, sizes(calls))
			})
		})
	}
	t.Run("on a socket itself", func(t *testing.T) {
		begin := make(chan struct{})
		server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			<-begin
			for i := range 100 {
				if err := conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, fmt.Sprint(i%10))); err != nil {
					return err
				}
			}
			conn.Flush()
			return testws.ReadLoop(testws.Returned)(conn, nil)
		})))
		defer server.Close()
		client := wstest.DialRaw(t, server, "/", nil)
		close(begin)
		all := make([]byte, 1000)
		_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := client.Conn.Read(all)
		require.NoError(t, err)
		assert.Equal(t, 300, n, "one write is one segment")
	})
}

func slicesOf(n, size int) (sizes []int) {
	for range n {
		sizes = append(sizes, size)
	}
	return sizes
}

func TestQueueLimit(t *testing.T) {
	type call struct {
		sizes []int // of the messages, without their headers of two bytes
		limit websocket.QueueLimit
		want  error
	}
	full := websocket.ErrQueueFull
	two := websocket.QueueLimit{Messages: 2}
	ten := websocket.QueueLimit{Bytes: 10}
	for _, tc := range []struct {
		name            string
		calls           []call
		messages, bytes int // that wait in the end
	}{
		{name: "any number of messages, unless told otherwise", calls: []call{{sizes: slicesOf(10_000, 0)}, {sizes: []int{0}}}, messages: 10_001, bytes: 20_002},
		{name: "2 MiB, unless told otherwise", calls: []call{{sizes: []int{2<<20 - 10}}, {sizes: []int{1}, want: full}}, messages: 1, bytes: 2 << 20},
		{name: "2 MiB of messages of 15 bytes", calls: []call{{sizes: slicesOf(2<<20/17, 15)}, {sizes: []int{15}, want: full}}, messages: 2 << 20 / 17, bytes: 2 << 20 / 17 * 17},
		{name: "messages", calls: []call{{sizes: []int{1, 1}, limit: two}, {sizes: []int{1}, limit: two, want: full}}, messages: 2, bytes: 6},
		{name: "bytes of frames", calls: []call{{sizes: []int{3, 3}, limit: ten}, {sizes: []int{0}, limit: ten, want: full}}, messages: 2, bytes: 10},
		{name: "all or none, of messages", calls: []call{{sizes: []int{1}, limit: two}, {sizes: []int{1, 1}, limit: two, want: full}, {sizes: []int{1}, limit: two}}, messages: 2, bytes: 6},
		{name: "all or none, of bytes", calls: []call{{sizes: []int{1}, limit: ten}, {sizes: []int{1, 4}, limit: ten, want: full}, {sizes: []int{1, 2}, limit: ten}}, messages: 3, bytes: 10},
		{name: "too many for ever", calls: []call{{sizes: []int{1, 1, 1}, limit: two, want: full}}},
		{name: "too long for ever", calls: []call{{sizes: []int{9}, limit: ten, want: full}}},
		{name: "another one for each call", calls: []call{{sizes: []int{1, 1}, limit: two}, {sizes: []int{1}}, {sizes: []int{1}, limit: two, want: full}}, messages: 3, bytes: 9},
		{name: "no bound of messages", calls: []call{{sizes: slicesOf(1000, 0), limit: websocket.QueueLimit{Messages: -1}}, {sizes: []int{2 << 20}, limit: websocket.QueueLimit{Messages: -1}, want: full}}, messages: 1000, bytes: 2000},
		{name: "no bound of bytes", calls: []call{{sizes: []int{3 << 20}, limit: websocket.QueueLimit{Bytes: -1}}, {sizes: slicesOf(256, 0), limit: websocket.QueueLimit{Messages: 256, Bytes: -1}, want: full}}, messages: 1, bytes: 3<<20 + 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				var taken []int
				for _, call := range tc.calls {
					var messages []*websocket.EncodedMessage
					for _, size := range call.sizes {
						messages = append(messages, testws.EncodeSize(t, size))
					}
					require.ErrorIs(t, conn.Enqueue(call.limit, messages...), call.want)
					if call.want == nil {
						taken = append(taken, call.sizes...)
					}
				}
				requireQueued(t, conn, tc.messages, tc.bytes)
				conn.Flush()
				for _, size := range taken {
					f, err := client.Receive()
					require.NoError(t, err)
					require.Len(t, f.Payload, size)
				}
				synctest.Wait()
				requireQueued(t, conn, 0, 0)
				require.NoError(t, conn.Enqueue(two, testws.Encode(t, "room")), "and then there is room")
			})
		})
	}
}

// TestReaderThatTakesNothing is gone after WriteTimeout, and holds up nobody.
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
		requireQueued(t, conn, 0, 0)
		require.Len(t, ctrl.Told.All(), 1)
		assert.ErrorIs(t, ctrl.Told.All()[0], err)
	})
}

// TestWriteTimeoutIsForEachWrite has a peer read a little now and then.
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

// TestSlowReader does not read until the queue is full, and then gets what was taken.
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

// TestEndSendsWhatWaits ends connections with messages that were never flushed.
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
					if err := conn.Enqueue(unlimited, testws.Repeat(300, message)...); err != nil { // 3 MB
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
			require.NoError(t, conn.Enqueue(unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			start := time.Now()
			closed := make(chan error, 1)
			go func() { closed <- conn.Close(1000, "") }()
			synctest.Wait()
			require.Equal(t, websocket.ErrCloseSent, conn.Enqueue(unlimited, testws.Encode(t, "late")))
			require.Equal(t, websocket.ErrCloseSent, conn.EnqueueContext(t.Context(), websocket.QueueLimit{}, testws.Encode(t, "late")))
			testws.AssertElapsed(t, start, 0)
			require.ErrorIs(t, <-closed, net.ErrClosed)
			testws.AssertElapsed(t, start, 2*time.Second)
			requireQueued(t, conn, 0, 0)
		})
	})
	t.Run("the peer takes its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: 2 * time.Second})
			require.NoError(t, conn.Enqueue(unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
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
			requireQueued(t, conn, 0, 0)
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
			require.NoError(t, conn.Enqueue(unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			conn.Flush()
			start := time.Now()
			_ = conn.Close(1000, "")
			assert.LessOrEqual(t, time.Since(start), 10*time.Millisecond)
			requireQueued(t, conn, 0, 0)
		})
	})
	t.Run("CloseNow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			require.NoError(t, conn.Enqueue(unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			conn.Flush()
			start := time.Now()
			require.NoError(t, conn.CloseNow())
			testws.AssertElapsed(t, start, 0)
			require.ErrorIs(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "late")), net.ErrClosed)
			requireQueued(t, conn, 0, 0)
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
			require.NoError(t, conn.Enqueue(unlimited, testws.Repeat(300, testws.EncodeSize(t, 10_000))...))
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			start := time.Now()
			require.ErrorIs(t, u.Shutdown(ctx), context.DeadlineExceeded)
			testws.AssertElapsed(t, start, 4*time.Second)
		})
	})
}

// TestEnqueueAfterACloseFrame is what comes from who does not know yet.
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
			requireQueued(t, conn, 0, 0)
			require.Equal(t, websocket.ErrCloseSent, conn.EnqueueContext(t.Context(), limit, testws.Encode(t, "late")))
			testws.AssertElapsed(t, start, 0)
			client.ExpectClose(1000, "")
		})
	})
}

func TestEnqueueContext(t *testing.T) {
	one := websocket.QueueLimit{Messages: 1, Bytes: 1 << 20}
	t.Run("waits for room, and flushes for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			var all testws.ErrorList
			var running sync.WaitGroup
			for i := range 10 {
				running.Go(func() {
					all.Add(conn.EnqueueContext(t.Context(), one, testws.Encode(t, fmt.Sprint(i)+strings.Repeat(" ", 65_000))))
				})
				synctest.Wait()
			}
			require.Equal(t, []error{nil, nil}, all.All(), "what the network takes, and what waits")
			seen := map[string]bool{}
			for range 9 {
				f, err := client.Receive()
				require.NoError(t, err)
				seen[strings.TrimSpace(string(f.Payload))] = true
			}
			running.Wait()
			conn.Flush()
			f, err := client.Receive()
			require.NoError(t, err)
			seen[strings.TrimSpace(string(f.Payload))] = true
			assert.Len(t, seen, 10)
			for _, err := range all.All() {
				require.NoError(t, err)
			}
		})
	})
	t.Run("until its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			require.NoError(t, conn.Enqueue(one, testws.EncodeSize(t, 100_000)))
			ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Second, testws.ErrDatabase)
			defer cancel()
			start := time.Now()
			require.ErrorIs(t, conn.EnqueueContext(ctx, one, testws.Encode(t, "in vain")), testws.ErrDatabase)
			testws.AssertElapsed(t, start, 4*time.Second)
			requireQueued(t, conn, 1, 100_010)
			client.Expect(wstest.Binary(make([]byte, 100_000)))
			synctest.Wait()
			require.ErrorIs(t, conn.EnqueueContext(ctx, one, testws.Encode(t, "too late")), testws.ErrDatabase, "though there is room")
			requireQueued(t, conn, 0, 0)
			require.NoError(t, conn.EnqueueContext(t.Context(), one, testws.Encode(t, "nothing has happened")))
			conn.Flush()
			client.Expect(wstest.Text("nothing has happened"))
		})
	})
	t.Run("not for what never fits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			start := time.Now()
			require.ErrorIs(t, conn.EnqueueContext(t.Context(), one, testws.Encode(t, "a"), testws.Encode(t, "b")), websocket.ErrQueueFull)
			require.ErrorIs(t, conn.EnqueueContext(t.Context(), one, testws.EncodeSize(t, 1<<20)), websocket.ErrQueueFull)
			testws.AssertElapsed(t, start, 0)
		})
	})
	t.Run("until the connection ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			require.NoError(t, conn.Enqueue(one, testws.EncodeSize(t, 100_000)))
			waiting := make(chan error, 1)
			message := testws.Encode(t, "in vain")
			go func() { waiting <- conn.EnqueueContext(t.Context(), one, message) }()
			synctest.Wait()
			start := time.Now()
			require.NoError(t, conn.CloseNow())
			require.ErrorIs(t, <-waiting, net.ErrClosed)
			testws.AssertElapsed(t, start, 0)
		})
	})
}

// TestOneMessageForAll is written to clients with and without compression.
func TestOneMessageForAll(t *testing.T) {
	text := strings.Repeat("all the same ", 1000)
	message, short := testws.Encode(t, text), testws.Encode(t, "short")
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
				if err := conn.SetCompressionLevel(level); err != nil {
					return err
				}
				if err := conn.Enqueue(unlimited, message, short); err != nil {
					return err
				}
			}
			conn.EnableWriteCompression(false)
			if err := conn.Enqueue(unlimited, message); err != nil {
				return err
			}
			conn.Flush()
			return testws.ReadLoop(testws.Returned)(conn, r)
		}))
		u.Settings.EnableCompression = true
		server := serve(u)
		for _, compression := range []bool{true, false, true} {
			client := wstest.DialRaw(t, server, "/", &wstest.Options{Compression: compression})
			for range flate.BestCompression - flate.HuffmanOnly + 1 {
				got, compressed := testws.ReceiveMessage(t, client)
				require.Equal(t, text, got)
				require.Equal(t, compression, compressed)
				client.Expect(wstest.Text("short"))
			}
			client.Expect(wstest.Text(text))
			client.Send(wstest.Close(1000, ""))
			client.ExpectClose(1000, "")
		}
		testws.AwaitEnd(t, u)
	})
}

// TestEnqueueByAClient has the server check the masks, and what is below them.
func TestEnqueueByAClient(t *testing.T) {
	text := strings.Repeat("from a client ", 100)
	message := testws.Encode(t, text)
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(websocket.ControllerFunc(testws.Echo))
				u.Settings.EnableCompression = compression
				conn := testws.Dial(t, serve(u), func(o *websocket.DialOptions) { o.EnableCompression = compression })
				for range 10 {
					require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, message, testws.Encode(t, "short")))
					conn.Flush()
				}
				for range 10 {
					for _, want := range []string{text, "short"} {
						_, p, err := conn.ReadMessage()
						require.NoError(t, err)
						require.Equal(t, want, string(p))
					}
				}
				require.NoError(t, conn.Close(1000, ""))
				testws.AwaitEnd(t, u)
			})
		})
	}
	t.Run("with a mask for each", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			masks := make(chan [2]string, 1)
			conn := testws.Dial(t, wstest.Serve(t, testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
				_, _ = io.WriteString(conn, testws.Switching(r))
				var frames [2][2 + 4 + len("same")]byte
				for i := range frames {
					_, err := io.ReadFull(rw, frames[i][:])
					assert.NoError(t, err)
				}
				masks <- [2]string{string(frames[0][2:6]), string(frames[1][2:6])}
			})), nil)
			require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "same"), testws.Encode(t, "same")))
			conn.Flush()
			got := <-masks
			assert.NotEqual(t, got[0], got[1])
		})
	})
}

const mixedWriters, mixedEach = 12, 60

func mixedBody(writer, i int) string {
	return fmt.Sprintf("%d/%d/%s", writer, i, strings.Repeat("x", (writer*i*37)%7000))
}

// mixedWays are those of writing messages, in order.
var mixedWays = []func(t *testing.T, conn *websocket.Conn, random *rand.Rand, messages []string) error{
	func(t *testing.T, conn *websocket.Conn, random *rand.Rand, messages []string) error {
		var all []*websocket.EncodedMessage
		for _, message := range messages {
			all = append(all, testws.Encode(t, message))
		}
		limit := websocket.QueueLimit{Messages: 5 + random.IntN(10)}
		if random.IntN(3) > 0 {
			defer conn.Flush()
		}
		if random.IntN(2) == 0 {
			return conn.EnqueueContext(conn.Context(), limit, all...)
		}
		for {
			err := conn.Enqueue(limit, all...)
			if !errors.Is(err, websocket.ErrQueueFull) {
				return err
			}
			runtime.Gosched()
			conn.Flush()
		}
	},
	func(_ *testing.T, conn *websocket.Conn, _ *rand.Rand, messages []string) error {
		for _, message := range messages {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
				return err
			}
		}
		return nil
	},
	func(_ *testing.T, conn *websocket.Conn, _ *rand.Rand, messages []string) error {
		for _, message := range messages {
			w, err := conn.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			half := len(message) / 2
			_, err = io.WriteString(w, message[:half])
			_, err2 := io.WriteString(w, message[half:])
			if err := errors.Join(err, err2, w.Close()); err != nil {
				return err
			}
		}
		return nil
	},
}

// mixedWriter writes its messages, a few at a time, and pings.
func mixedWriter(t *testing.T, conn *websocket.Conn, w int) error {
	random := rand.New(rand.NewPCG(uint64(w), 0))
	write := mixedWays[w%len(mixedWays)]
	for i := 0; i < mixedEach; {
		var messages []string
		for range min(1+random.IntN(3), mixedEach-i) {
			messages = append(messages, mixedBody(w, i))
			i++
		}
		if err := write(t, conn, random, messages); err != nil {
			return err
		}
		if err := conn.WriteControl(websocket.PingMessage, []byte("x"), time.Time{}); err != nil {
			return err
		}
	}
	conn.Flush()
	return nil
}

// mixedEcho answers what comes in bursts while the writers write.
func mixedEcho(t *testing.T) websocket.ControllerFunc {
	return func(conn *websocket.Conn, _ *http.Request) error {
		for w := range mixedWriters {
			conn.Go(func(context.Context) error { return mixedWriter(t, conn, w) })
		}
		for {
			messageType, p, err := conn.ReadSlice()
			if err != nil {
				return err
			}
			if err := conn.WriteMessage(messageType, p); err != nil {
				return err
			}
		}
	}
}

// TestNothingIsMixed has goroutines write in every way there is while the client
// sends bursts that are answered: every frame is whole, and the messages of each
// goroutine are in order.
func TestNothingIsMixed(t *testing.T) {
	const bursts, burst = 20, 10
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(mixedEcho(t))
				u.Settings.EnableCompression = compression
				client := wstest.Dial(t, serve(u), "/", &wstest.Options{Compression: compression, Timeout: time.Minute})
				client.SetPingHandler(func(string) error { return nil })
				var sending sync.WaitGroup
				sending.Go(func() {
					for i := range bursts {
						var frames []byte
						for j := range burst {
							frames = wstest.Text(fmt.Sprintf("%d/%d/", mixedWriters, i*burst+j)).AppendTo(frames)
						}
						_, err := client.NetConn().Write(frames)
						assert.NoError(t, err)
					}
				})
				next := make([]int, mixedWriters+1)
				for range mixedWriters*mixedEach + bursts*burst {
					_, p, err := client.ReadMessage()
					require.NoError(t, err)
					var w, i int
					_, err = fmt.Sscanf(string(p), "%d/%d/", &w, &i)
					require.NoError(t, err)
					require.Equal(t, next[w], i, "goroutine %d", w)
					next[w]++
					if w < mixedWriters {
						require.Equal(t, mixedBody(w, i), string(p))
					}
				}
				sending.Wait()
				client.Close(1000, "")
				testws.AwaitEnd(t, u)
			})
		})
	}
}

// TestEnqueuedWaitsForAStream has a message streamed, for longer than a write may
// take.
func TestEnqueuedWaitsForAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: time.Second, PingInterval: -1})
		w, err := conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "behind it")))
		conn.Flush()
		testws.AssertElapsed(t, start, 0)
		time.Sleep(time.Minute)
		require.NoError(t, conn.WriteControl(websocket.PingMessage, nil, time.Time{}))
		client.Expect(wstest.Ping(""))
		requireQueued(t, conn, 1, 11)
		_, err = io.WriteString(w, "streamed")
		require.NoError(t, err)
		require.NoError(t, w.Close())
		client.Expect(wstest.Text("streamed"), wstest.Text("behind it"))
		client.Send(wstest.Close(1000, ""))
	})
}

// faultyConn is a connection whose Write may be made to fail.
type faultyConn struct {
	net.Conn
	fault *atomic.Pointer[func()]
}

func (c faultyConn) Write(p []byte) (int, error) {
	if fault := c.fault.Load(); fault != nil {
		(*fault)()
	}
	return c.Conn.Write(p)
}

type faultyListener struct {
	net.Listener
	fault atomic.Pointer[func()]
}

func (l *faultyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return faultyConn{conn, &l.fault}, err
}

// TestPanicOfTheConnection is told like any other, and ends no more than the
// connection: nothing is written behind half a frame.
func TestPanicOfTheConnection(t *testing.T) {
	for name, write := range map[string]func(conn *websocket.Conn) error{
		"by Flush": func(conn *websocket.Conn) error {
			err := conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "a"), testws.Encode(t, "b"))
			conn.Flush()
			<-conn.Context().Done()
			return err
		},
		"by the end of Serve": func(conn *websocket.Conn) error {
			return conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "a"), testws.Encode(t, "b"))
		},
		"by WriteMessage": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.TextMessage, []byte("a"))
		},
		"by a large message": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.TextMessage, make([]byte, 10_000))
		},
		"by a ping": func(conn *websocket.Conn) error {
			_, err := conn.Ping(context.Background())
			return err
		},
		"by the keep-alive": func(conn *websocket.Conn) error {
			_, _, err := conn.ReadMessage()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := wstest.Listen()
				listener := &faultyListener{Listener: memory}
				ctrl := &testws.Controller{}
				ctrl.ServeFunc = func(conn *websocket.Conn, _ *http.Request) error {
					oh := func() { panic("oh") }
					listener.fault.Store(&oh)
					return write(conn)
				}
				u := websocket.New(ctrl)
				server := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
				defer func() { _ = server.Close() }()
				go func() { _ = server.Serve(listener) }()
				client, err := memory.DialContext(t.Context())
				require.NoError(t, err)
				start := time.Now()
				require.Equal(t, http.StatusSwitchingProtocols, testws.UpgradeBare(t, client))
				rest, err := io.ReadAll(client)
				require.NoError(t, err)
				assert.Empty(t, rest)
				if name == "by the keep-alive" {
					start = start.Add(30 * time.Second)
				}
				testws.AssertElapsed(t, start, 0)
				testws.AwaitEnd(t, u)
				require.Len(t, ctrl.Told.All(), 1)
				var p *websocket.PanicError
				require.ErrorAs(t, ctrl.Told.All()[0], &p)
				assert.Equal(t, "oh", p.Value)
			})
		})
	}
}
