//go:build !race

package websocket

import (
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An idle connection over TCP holds no memory of messages, however large they were. The test
// looks at fields of the waiting reading goroutine, which the race detector would report.
func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	conns := make(chan *Conn, 1)
	serve := func(read func(*Conn) (int, []byte, error)) *Upgrader {
		return New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
			conns <- conn
			for {
				messageType, p, err := read(conn)
				if err != nil {
					return err
				}
				if err := conn.WriteMessage(messageType, p[:1]); err != nil {
					return err
				}
			}
		}))
	}
	for name, u := range map[string]*Upgrader{
		"ReadMessage": serve((*Conn).ReadMessage),
		"ReadSlice":   serve((*Conn).ReadSlice),
		"OnMessage": NewMessages(MessageControllerFunc(func(conn *Conn, _ *http.Request) (MessageHandler, error) {
			conns <- conn
			return MessageHandlerFunc(func(messageType int, p []byte) error { return conn.WriteMessage(messageType, p[:1]) }), nil
		})),
	} {
		t.Run(name, func(t *testing.T) {
			u.MaxMessageSize = -1
			server := httptest.NewServer(u)
			defer server.Close()
			client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // a 101 has no body
			require.NoError(t, err)
			defer func() { _ = client.Close() }()
			conn := <-conns
			require.IsType(t, &net.TCPConn{}, conn.NetConn())
			for _, size := range []int{1, 64 << 10, 16 << 20} {
				require.NoError(t, client.WriteMessage(BinaryMessage, make([]byte, size)))
				_, _, err := client.ReadMessage()
				require.NoError(t, err)
				require.Eventually(t, func() bool {
					since, waiting := conn.t.WaitingSince()
					return waiting && conn.t.Age() > since+10*time.Millisecond // it has looked for more by then
				}, 20*time.Second, time.Millisecond)
				held := conn.t.Allocated()
				assert.False(t, held.ReadBuffer, "%d bytes", size)
				assert.False(t, held.Loan, "%d bytes", size)
				assert.False(t, held.HeldFrames, "%d bytes", size)
			}
		})
	}
}

// Each size is a size class of Go's allocator. One more field may take the next class, in each of
// a million idle connections.
func TestConnectionsAreSmall(t *testing.T) {
	if strconv.IntSize != 64 {
		t.Skip("sizes are those of 64 bits")
	}
	assert.LessOrEqual(t, unsafe.Sizeof(transport.Conn{}), uintptr(384))
	assert.LessOrEqual(t, unsafe.Sizeof(acceptedConn{}), uintptr(288))
	assert.LessOrEqual(t, unsafe.Sizeof(messages{}), uintptr(112))
	assert.LessOrEqual(t, unsafe.Sizeof(serving{}), uintptr(64))
}

// readsOnce returns a connection over TCP that reads one message, and its client.
func readsOnce(t *testing.T) (*Conn, *ws.Conn) {
	conns := make(chan *Conn, 1)
	server := httptest.NewServer(New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
		conns <- conn
		_, _, err := conn.ReadMessage()
		return err
	})))
	t.Cleanup(server.Close)
	client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // a 101 has no body
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return <-conns, client
}

// A new connection has none of what is only made when it is needed.
func TestFreshConnectionsHaveOnlyWhatTheyNeed(t *testing.T) {
	conn, _ := readsOnce(t)
	require.Eventually(t, func() bool {
		_, waiting := conn.t.WaitingSince()
		return waiting
	}, 20*time.Second, time.Millisecond)
	assert.Nil(t, conn.lifetime.Load())
	assert.Equal(t, transport.Allocated{SocketRead: true}, conn.t.Allocated())
	gorillas := reflect.ValueOf(conn.Conn).Elem().FieldByName("br").Elem().FieldByName("buf")
	assert.Equal(t, transport.GorillaReadBuffer, gorillas.Len(), "what gorilla reads through")
}

// The configuration of the transport is resolved once, and again if the settings of gorilla's
// Upgrader were changed between two requests.
func TestConnectionsShareTheirSettings(t *testing.T) {
	e := NewEndpoint(Options{WriteTimeout: time.Second, CloseTimeout: -1})
	first := e.transportConfig(0, 0)
	assert.Same(t, first, e.transportConfig(0, 0))
	assert.Equal(t, time.Second, first.WriteTimeout)
	assert.Zero(t, first.CloseTimeout)
	larger := e.transportConfig(1<<16, 0)
	assert.Equal(t, 1<<16, larger.ReadBufferSize)
	assert.Same(t, first.ReadBuffers, larger.ReadBuffers)
	assert.Equal(t, 100, e.transportConfig(0, 100).WriteBufferSize)
	assert.Equal(t, DefaultOptions().WriteTimeout, new(Endpoint).transportConfig(0, 0).WriteTimeout)
}

// A goroutine that waits for a message has a stack of 2 KiB, also after it has received pongs.
func TestWaitIsShallow(t *testing.T) {
	t.Run("Serve", func(t *testing.T) {
		waitIsShallow(t, New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
			_, _, err := conn.ReadMessage()
			return err
		})))
	})
	t.Run("OnMessage", func(t *testing.T) {
		waitIsShallow(t, NewMessages(MessageControllerFunc(func(*Conn, *http.Request) (MessageHandler, error) {
			return MessageHandlerFunc(func(int, []byte) error { return nil }), nil
		})))
	})
}

func waitIsShallow(t *testing.T, u *Upgrader) {
	const many = 500
	server := httptest.NewServer(u)
	defer server.Close()
	before := stacks()
	pong := wire.MaskedFrame(wire.OpPong, make([]byte, 8))
	request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	for range many {
		client, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer func() { _ = client.Close() }()
		_, err = client.Write([]byte(request))
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 1024))
		require.NoError(t, err)
		_, err = client.Write(pong)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		return u.Stats().BytesReceived == uint64(many*len(pong))
	}, 20*time.Second, time.Millisecond)
	var each int64
	assert.Eventually(t, func() bool {
		each = (stacks() - before) / many
		return each < 3<<10
	}, 20*time.Second, 100*time.Millisecond)
	t.Logf("%d bytes", each)
}

// The stack of a goroutine that has done nothing but wait stays where it is while the peer's close frame
// is read and answered: for a larger one, Go would copy all frames that are on it.
func TestAnswerToACloseFrameIsShallow(t *testing.T) {
	const many = 100
	moved := make(chan bool, many)
	server := httptest.NewServer(New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
		var here byte
		before := uintptr(unsafe.Pointer(&here))
		_, _, err := conn.ReadMessage()
		moved <- before != uintptr(unsafe.Pointer(&here))
		return err
	})))
	defer server.Close()
	copied := 0
	for range many {
		client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // a 101 has no body
		require.NoError(t, err)
		require.NoError(t, client.WriteMessage(CloseMessage, ws.FormatCloseMessage(CloseNormalClosure, "bye")))
		_, _, err = client.ReadMessage()
		require.Equal(t, &CloseError{Code: CloseNormalClosure}, err)
		require.NoError(t, client.Close())
		if <-moved {
			copied++
		}
	}
	assert.Less(t, copied, many/2, "once in a while, the allocator has more to do")
}

// The stack of net/http's goroutine stays where it is while a request is upgraded, also below a handler
// of the application.
func TestUpgradeIsShallow(t *testing.T) {
	const many = 100
	u := New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
		_, _, err := conn.ReadMessage()
		return err
	}))
	moved := make(chan bool, many)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var here byte
		before := uintptr(unsafe.Pointer(&here))
		u.ServeHTTP(w, r)
		moved <- before != uintptr(unsafe.Pointer(&here))
	}))
	defer server.Close()
	copied := 0
	for range many {
		client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // a 101 has no body
		require.NoError(t, err)
		require.NoError(t, client.Close())
		if <-moved {
			copied++
		}
	}
	assert.Less(t, copied, many/2, "once in a while, the allocator has more to do")
}

// Each call of a network connection is checked for a panic. Without an error, that allocates
// nothing.
func TestNoErrorIsNoPanicForNoMemory(t *testing.T) {
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = recoveredPanics.Is(nil) }))
}

// stacks returns the size of all stacks in bytes.
func stacks() int64 {
	runtime.GC() // releases the stacks of goroutines that have ended
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // it is far from overflowing
}

// A connection that waits within a large frame holds no read buffer besides the message.
func TestReadBufferIsGivenBackWithinAPayload(t *testing.T) {
	conn, client := readsOnce(t)
	frame := wire.MaskedFrame(wire.OpBinary, make([]byte, 50_000))
	_, err := client.NetConn().Write(frame[:20_000])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, waiting := conn.t.WaitingSince()
		return waiting && conn.t.Counts().BytesReceived == 20_000
	}, 20*time.Second, time.Millisecond)
	assert.False(t, conn.t.Allocated().ReadBuffer)
}

// If Serve runs in the handler, an idle connection needs more memory: net/http keeps two buffers
// of 4 KiB, the request and a grown stack until the handler returns. The numbers in the
// documents are from this test.
func TestServeInHandlerTakesMemory(t *testing.T) {
	const many = 500
	request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	message := wire.MaskedFrame(wire.OpText, []byte("hello"))
	each := func(inHandler bool) (idle, used int64) {
		u := New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
			for {
				messageType, p, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				if err := conn.WriteMessage(messageType, p); err != nil {
					return err
				}
			}
		}))
		u.ServeInHandler = inHandler
		server := httptest.NewServer(u)
		defer server.Close()
		var clients []net.Conn
		before := memory()
		for range many {
			client, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer func() { _ = client.Close() }()
			_, err = client.Write([]byte(request))
			require.NoError(t, err)
			_, err = client.Read(make([]byte, 1024))
			require.NoError(t, err)
			clients = append(clients, client)
		}
		require.Eventually(t, func() bool { return u.Stats().Open == many }, 20*time.Second, time.Millisecond)
		time.Sleep(100 * time.Millisecond) // until all are waiting
		idle = (memory() - before) / many
		for _, client := range clients {
			_, err := client.Write(message)
			require.NoError(t, err)
			_, err = client.Read(make([]byte, 1024))
			require.NoError(t, err)
		}
		time.Sleep(100 * time.Millisecond)
		return idle, (memory() - before) / many
	}
	ownIdle, ownUsed := each(false)
	idle, used := each(true)
	assert.Less(t, ownUsed, int64(9<<10))
	assert.Less(t, used, int64(26<<10))
	assert.Greater(t, used, ownUsed+(8<<10), "if it costs no more, documents and defaults are to change")
	t.Logf("with the client's socket: %d and %d bytes in a goroutine of its own, %d and %d in the handler", ownIdle, ownUsed, idle, used)
}

// memory returns the bytes in use of the heap and of all stacks.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // it is far from overflowing
}
