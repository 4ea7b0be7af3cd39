package websocket

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// queuePair returns the two ends of a connection over TCP; the server's is open until
// the client's is closed.
func queuePair(t *testing.T) (*ws.Conn, *Conn) {
	t.Helper()
	conns := make(chan *Conn, 1)
	u := New(ControllerFunc(func(conn *Conn, _ *http.Request) error {
		conns <- conn
		<-conn.CloseRead(context.Background()).Done()
		return nil
	}))
	u.Logger = slog.Default()
	server := httptest.NewServer(u)
	t.Cleanup(func() {
		assert.NoError(t, u.Shutdown(context.Background()))
		server.Close()
	})
	client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // that of a 101 has none
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	conn := <-conns
	require.IsType(t, &net.TCPConn{}, conn.NetConn())
	return client, conn
}

// shrink has the network between the two ends hold little.
func shrink(t *testing.T, client *ws.Conn, conn *Conn) {
	t.Helper()
	require.NoError(t, client.NetConn().(*net.TCPConn).SetReadBuffer(8<<10)) //nolint:errcheck // it is one
	require.NoError(t, conn.NetConn().(*net.TCPConn).SetWriteBuffer(8<<10))  //nolint:errcheck // it is one
}

// clog has the socket take nothing any more: both ends of the network are full, with
// what is no frame.
func clog(t *testing.T, client *ws.Conn, conn *Conn) {
	t.Helper()
	shrink(t, client, conn)
	require.True(t, conn.t.FrameLock.TryLock())
	defer conn.t.FrameLock.Unlock()
	junk := make([]byte, 1<<20)
	vain := 0
	require.Eventually(t, func() bool {
		if conn.t.WriteNow(junk) > 0 {
			vain = 0
		}
		vain++
		return vain > 10
	}, 10*time.Second, time.Millisecond)
}

// TestFlushDoesNotWaitForWhatIsHeldBack has answers of the reader's held back when
// the socket takes nothing: they are for others to write.
func TestFlushDoesNotWaitForWhatIsHeldBack(t *testing.T) {
	client, conn := queuePair(t)
	clog(t, client, conn)
	holdBack(t, conn)
	message, err := EncodeMessage(TextMessage, []byte("enqueued"))
	require.NoError(t, err)
	require.NoError(t, conn.Enqueue(QueueLimit{}, message))
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		conn.Flush()
	}()
	select {
	case <-flushed:
	case <-time.After(2 * time.Second):
		assert.Fail(t, "Flush waits for the socket")
	}
	require.NoError(t, conn.CloseNow())
	<-flushed
}

// holdBack has an answer of the reader's held back, for whoever writes next.
func holdBack(t *testing.T, conn *Conn) {
	t.Helper()
	require.Eventually(t, conn.t.FrameLock.TryLock, 5*time.Second, time.Millisecond)
	defer conn.t.FrameLock.Unlock()
	conn.t.Hold(wire.OpText, []byte("held"))
	conn.t.TheCork().Timer.Cancel()
}

func TestWhatIsHeldBackComesFirst(t *testing.T) {
	client, conn := queuePair(t)
	for range 10 {
		holdBack(t, conn)
		message, err := EncodeMessage(TextMessage, []byte("enqueued"))
		require.NoError(t, err)
		require.NoError(t, conn.Enqueue(QueueLimit{}, message))
		conn.Flush()
		for _, want := range []string{"held", "enqueued"} {
			_, p, err := client.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, want, string(p))
		}
	}
}

// A connection whose queue was written, or abandoned, keeps no frame of it.
func TestQueueKeepsNothing(t *testing.T) {
	frames := func(t *testing.T, conn *Conn, n int) (pointers []weak.Pointer[byte]) {
		t.Helper()
		for range n {
			message, err := EncodeMessage(BinaryMessage, make([]byte, 10_000))
			require.NoError(t, err)
			pointers = append(pointers, weak.Make(&message.frame[0]))
			require.NoError(t, conn.Enqueue(QueueLimit{}, message))
		}
		return pointers
	}
	gone := func(t *testing.T, pointers []weak.Pointer[byte]) {
		t.Helper()
		for i, p := range pointers {
			require.Eventually(t, func() bool {
				runtime.GC()
				return p.Value() == nil
			}, 5*time.Second, time.Millisecond, "frame %d of %d", i, len(pointers))
		}
	}
	for _, n := range []int{1, 2, 3, 10} {
		t.Run("written", func(t *testing.T) {
			client, conn := queuePair(t)
			pointers := frames(t, conn, n)
			conn.Flush()
			for range n {
				_, p, err := client.ReadMessage()
				require.NoError(t, err)
				require.True(t, bytes.Equal(make([]byte, 10_000), p))
			}
			gone(t, pointers)
			q := conn.t.Queue.Load()
			q.Mu.Lock()
			defer q.Mu.Unlock()
			assert.Nil(t, q.Strips)
			assert.Zero(t, q.Messages)
			assert.Zero(t, q.Bytes)
			assert.False(t, q.Flushing)
		})
		t.Run("never flushed", func(t *testing.T) {
			_, conn := queuePair(t)
			pointers := frames(t, conn, n)
			require.NoError(t, conn.CloseNow())
			messages, size := conn.Queued()
			assert.Zero(t, messages)
			assert.Zero(t, size)
			gone(t, pointers)
			runtime.KeepAlive(conn)
		})
		t.Run("not taken by the peer", func(t *testing.T) {
			client, conn := queuePair(t)
			clog(t, client, conn)
			pointers := frames(t, conn, n)
			conn.Flush()
			require.NoError(t, conn.CloseNow())
			gone(t, pointers)
			runtime.KeepAlive(conn)
		})
	}
}

// TestQueueKeepsNoConnection ends a connection whose queue was in use, with a message
// kept that it was sent.
func TestQueueKeepsNoConnection(t *testing.T) {
	message, err := EncodeMessage(BinaryMessage, make([]byte, 100_000))
	require.NoError(t, err)
	var p weak.Pointer[Conn]
	t.Run("use", func(t *testing.T) {
		_, conn := queuePair(t)
		for range 100 {
			if conn.Enqueue(QueueLimit{}, message) != nil {
				break
			}
			conn.Flush()
		}
		require.NoError(t, conn.CloseNow())
		p = weak.Make(conn)
	})
	require.Eventually(t, func() bool {
		runtime.GC()
		return p.Value() == nil
	}, 5*time.Second, time.Millisecond)
	runtime.KeepAlive(message)
}

// TestSlowReadersCostNoMemory has much wait for many who take nothing: what waits is
// that of the messages, which they share.
func TestSlowReadersCostNoMemory(t *testing.T) {
	const conns, each = 50, 200
	heap := func() int {
		runtime.GC()
		runtime.GC() // pools are empty then
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	message, err := EncodeMessage(BinaryMessage, make([]byte, 1000))
	require.NoError(t, err)
	var all []*Conn
	for range conns {
		client, conn := queuePair(t)
		clog(t, client, conn)
		all = append(all, conn)
	}
	before := heap()
	for _, conn := range all {
		for range each {
			require.NoError(t, conn.Enqueue(QueueLimit{}, message))
		}
		conn.Flush()
	}
	assert.Less(t, (heap()-before)/conns, each*2*24+1024, "bytes each: slices of frames, and little more")
	for _, conn := range all {
		messages, _ := conn.Queued()
		assert.Equal(t, each, messages)
		require.NoError(t, conn.CloseNow())
	}
}

// TestQueueMemoryIsItsBytes has many messages wait for a peer that takes nothing: the bytes
// of the frames bound the memory, whatever their number.
func TestQueueMemoryIsItsBytes(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC() // pools are empty then
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	for _, size := range []int{0, 15, 62, 63, 125, 1000} {
		message, err := EncodeMessage(BinaryMessage, make([]byte, size))
		require.NoError(t, err)
		client, conn := queuePair(t)
		clog(t, client, conn)
		before := heap()
		for err == nil {
			err = conn.Enqueue(QueueLimit{}, message)
		}
		require.ErrorIs(t, err, ErrQueueFull)
		_, queued := conn.Queued()
		require.Greater(t, queued, defaultQueueBytes-2*size-10)
		grown := heap() - before
		t.Logf("messages of %d bytes: %d bytes of memory for %d", size, grown, queued)
		assert.Less(t, grown, queued+queued/8+4096)
		require.NoError(t, conn.CloseNow())
	}
}

// TestQueueKeepsTheOrder has messages of many sizes wait for a peer that reads now and then.
func TestQueueKeepsTheOrder(t *testing.T) {
	client, conn := queuePair(t)
	shrink(t, client, conn)
	const messages = 5000
	done := make(chan struct{})
	go func() {
		defer close(done)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range messages {
			size := random.IntN(100)
			if i%1000 == 999 {
				size = random.IntN(50_000)
			}
			m, err := EncodeMessage(BinaryMessage, append(binary.BigEndian.AppendUint32(nil, uint32(i)), make([]byte, size)...))
			assert.NoError(t, err)
			assert.NoError(t, conn.EnqueueContext(t.Context(), QueueLimit{Bytes: 200_000}, m))
			if random.IntN(500) == 0 {
				conn.Flush()
			}
		}
		conn.Flush()
	}()
	require.Eventually(t, func() bool {
		waiting, _ := conn.Queued()
		return waiting > 1000
	}, 5*time.Second, time.Millisecond)
	for i := range messages {
		_, p, err := client.ReadMessage()
		require.NoError(t, err)
		require.EqualValues(t, i, binary.BigEndian.Uint32(p))
		require.Empty(t, bytes.Trim(p[4:], "\x00"))
	}
	<-done
	require.Eventually(t, func() bool {
		n, size := conn.Queued()
		return n == 0 && size == 0
	}, 5*time.Second, time.Millisecond)
	assert.EqualValues(t, messages, conn.t.Counts.MessagesSent.Load())
}
