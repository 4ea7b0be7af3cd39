package websocket_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// The zero EncodedMessage is refused by every way to enqueue it, on both ends, and nothing is sent.
func TestEnqueueOfNoMessage(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		enqueueNone := func(conn *websocket.Conn) {
			none, limit := new(websocket.EncodedMessage), websocket.QueueLimit{}
			assert.ErrorContains(t, conn.Enqueue(limit, testws.Encode(t, "not alone"), none), "message type")
			assert.ErrorContains(t, conn.EnqueueContext(t.Context(), limit, none), "message type")
			_, err := conn.EnqueueReplacing(limit, none, websocket.NewReplacement("key", true))
			assert.ErrorContains(t, err, "message type")
			messages, bytes := conn.Queued()
			assert.Zero(t, messages)
			assert.Zero(t, bytes)
		}
		conn := testws.Dial(t, serve(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			enqueueNone(conn)
			return conn.WriteMessage(websocket.TextMessage, []byte("done"))
		}))), nil)
		enqueueNone(conn)
		_, message, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "done", string(message))
		require.NoError(t, conn.Close(1000, ""))
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

// A message takes the place of one with its key, or of the oldest that may be dropped, and leaves
// the queue alone where that is not enough. This holds for compressed messages and clients, too.
func TestEnqueueReplacing(t *testing.T) {
	for name, compress := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			conns := make(chan *websocket.Conn)
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				conns <- conn
				<-conn.Context().Done() // the test reads
				return nil
			}))
			u.Settings.EnableCompression = compress
			address, options := testws.Target(testws.TCP.Serve(t, u), "/")
			options.EnableCompression = compress
			client, _, err := websocket.Dial(t.Context(), address, &options)
			require.NoError(t, err)
			server := <-conns
			defer func() {
				_ = client.CloseNow()
				_, _, _ = server.ReadMessage() // it sees that
				require.NoError(t, u.Shutdown(t.Context()))
			}()
			for _, ends := range [][2]*websocket.Conn{{server, client}, {client, server}} {
				conn, peer := ends[0], ends[1]
				limit := websocket.QueueLimit{Messages: 4}
				place := func(text string, r *websocket.Replacement) websocket.Displaced {
					t.Helper()
					displaced, err := conn.EnqueueReplacing(limit, testws.Encode(t, strings.Repeat(text, 600)), r)
					require.NoError(t, err)
					return displaced
				}
				price, old := websocket.NewReplacement("price", false), websocket.NewReplacement("", true)
				assert.Zero(t, place("a", price))
				assert.Zero(t, place("b", old))
				assert.Zero(t, place("c", nil))
				assert.Equal(t, websocket.Displaced{Replaced: 1}, place("d", price))
				assert.Zero(t, place("e", old))
				assert.Equal(t, websocket.Displaced{Dropped: 1}, place("f", old))
				_, err := conn.EnqueueReplacing(limit, testws.Encode(t, "g"), websocket.NewReplacement("another", false))
				require.ErrorIs(t, err, websocket.ErrQueueFull)
				_, err = conn.EnqueueReplacing(websocket.QueueLimit{Bytes: 63}, testws.Encode(t, "g"), old)
				require.ErrorContains(t, err, "longer")
				messages, _ := conn.Queued()
				assert.Equal(t, 4, messages)
				conn.Flush()
				for _, text := range []string{"d", "c", "e", "f"} {
					_, p, err := peer.ReadMessage()
					require.NoError(t, err)
					require.Equal(t, strings.Repeat(text, 600), string(p))
				}
			}
		})
	}
}

// A message that may be replaced takes no memory but its place in the queue.
func TestEnqueueReplacingTakesNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := testws.RawPair(t, websocket.Options{})
		one, message := websocket.QueueLimit{Messages: 1}, testws.Encode(t, "1.50")
		price := websocket.NewReplacement("price", false)
		_, err := conn.EnqueueReplacing(one, message, price)
		require.NoError(t, err)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = conn.EnqueueReplacing(one, message, price) }))
		displaced, err := conn.EnqueueReplacing(one, message, new(websocket.Replacement))
		require.ErrorIs(t, err, websocket.ErrQueueFull, "the zero value replaces nothing")
		assert.Zero(t, displaced)
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
	t.Run("waits for room that a shorter message leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{WriteTimeout: time.Hour, PingInterval: -1})
			limit := websocket.QueueLimit{Bytes: 400_000}
			require.NoError(t, conn.Enqueue(limit, testws.EncodeSize(t, 200_000))) // it is being written
			conn.Flush()
			synctest.Wait()
			price := websocket.NewReplacement("price", false)
			_, err := conn.EnqueueReplacing(limit, testws.EncodeSize(t, 150_000), price)
			require.NoError(t, err)
			waiting := make(chan error, 1)
			message := testws.EncodeSize(t, 100_000)
			go func() { waiting <- conn.EnqueueContext(t.Context(), limit, message) }()
			synctest.Wait()
			require.Empty(t, waiting)
			displaced, err := conn.EnqueueReplacing(limit, testws.EncodeSize(t, 1), price)
			require.NoError(t, err)
			require.Equal(t, websocket.Displaced{Replaced: 1}, displaced)
			synctest.Wait()
			require.Len(t, waiting, 1, "there is room")
			require.NoError(t, <-waiting)
			require.NoError(t, conn.CloseNow())
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
	}, 20*time.Second, time.Millisecond)
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
