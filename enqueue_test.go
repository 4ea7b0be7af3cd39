package websocket_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
		conn.Flush() // the queue is empty
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}))
		testws.RequireQueued(t, conn, 0, 0)
		conn.Flush()
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "enqueued")))
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("written")))
		require.Nil(t, func() *wstest.Frame { client.Expect(wstest.Text("written")); return testws.ReadAway(client) }())
		testws.RequireQueued(t, conn, 1, 10)
		conn.Flush()
		client.Expect(wstest.Text("enqueued"))
		synctest.Wait()
		testws.RequireQueued(t, conn, 0, 0)
	})
}

// TestEnqueuedFramesLeaveTogether checks the calls of Write of the network connection.
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
					require.NoError(t, conn.Enqueue(testws.Unlimited, testws.EncodeSize(t, size)))
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
		messages, bytes int // that still wait at the end
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
				testws.RequireQueued(t, conn, tc.messages, tc.bytes)
				conn.Flush()
				for _, size := range taken {
					f, err := client.Receive()
					require.NoError(t, err)
					require.Len(t, f.Payload, size)
				}
				synctest.Wait()
				testws.RequireQueued(t, conn, 0, 0)
				require.NoError(t, conn.Enqueue(two, testws.Encode(t, "room")), "and then there is room")
			})
		})
	}
}

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
			testws.RequireQueued(t, conn, 1, 100_010)
			client.Expect(wstest.Binary(make([]byte, 100_000)))
			synctest.Wait()
			require.ErrorIs(t, conn.EnqueueContext(ctx, one, testws.Encode(t, "too late")), testws.ErrDatabase, "though there is room")
			testws.RequireQueued(t, conn, 0, 0)
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

// TestOneMessageForAll writes one message to clients with and without compression.
func TestOneMessageForAll(t *testing.T) {
	text := strings.Repeat("all the same ", 1000)
	message, short := testws.Encode(t, text), testws.Encode(t, "short")
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
				if err := conn.SetCompressionLevel(level); err != nil {
					return err
				}
				if err := conn.Enqueue(testws.Unlimited, message, short); err != nil {
					return err
				}
			}
			conn.EnableWriteCompression(false)
			if err := conn.Enqueue(testws.Unlimited, message); err != nil {
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

// In TestEnqueueByAClient, the server checks the masks and the messages.
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

// A message that was enqueued does not keep the memory of a connection that has ended.
func TestEnqueuedMessageKeepsNoConnection(t *testing.T) {
	message := testws.EncodeSize(t, 100_000)
	var p weak.Pointer[websocket.Conn]
	t.Run("use", func(t *testing.T) {
		conns := make(chan *websocket.Conn, 1)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			conns <- conn
			return testws.ReadLoop(testws.Returned)(conn, r)
		}))
		server := httptest.NewServer(u)
		defer server.Close()
		_ = wstest.DialRaw(t, server, "/", nil)
		conn := <-conns
		for range 100 {
			if conn.Enqueue(websocket.QueueLimit{}, message) != nil {
				break
			}
			conn.Flush()
		}
		require.NoError(t, conn.CloseNow())
		testws.AwaitEnd(t, u)
		p = weak.Make(conn)
	})
	require.Eventually(t, func() bool {
		runtime.GC()
		return p.Value() == nil
	}, 5*time.Second, time.Millisecond)
	runtime.KeepAlive(message)
}

// In TestEnqueuedWaitsForAStream, a message is streamed for longer than WriteTimeout.
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
		testws.RequireQueued(t, conn, 1, 11)
		_, err = io.WriteString(w, "streamed")
		require.NoError(t, err)
		require.NoError(t, w.Close())
		client.Expect(wstest.Text("streamed"), wstest.Text("behind it"))
		client.Send(wstest.Close(1000, ""))
	})
}
