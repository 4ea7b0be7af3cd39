package transport

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// queueBytes is the limit of a queue in most tests, in bytes.
const queueBytes = 2 << 20

// enqueue adds a message to the queue, and returns the frame that the queue holds then.
func enqueue(tr *Conn, payload []byte) (frame []byte, err error) {
	frame = append(wire.AppendHeader(nil, wire.OpBinary, len(payload)), payload...)
	return frame, enqueueFrame(tr, frame)
}

func enqueueFrame(tr *Conn, frame []byte) error {
	_, err := tr.Enqueue(QueueLimit{Messages: math.MaxInt, Bytes: queueBytes}, []Frame{{Bytes: frame}})
	return err
}

// tcpPair returns a connection over TCP, and the socket at its other end.
func tcpPair(t *testing.T, changes ...func(*Config)) (*net.TCPConn, *Conn) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	client, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr)) //nolint:errcheck // it is one
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	server, err := listener.AcceptTCP()
	require.NoError(t, err)
	tr := New(server, nil, newConfig(changes...))
	tr.Open()
	t.Cleanup(func() { end(tr) })
	return client, tr
}

// end closes a connection, and waits for its goroutines and timers.
func end(tr *Conn) {
	tr.CloseNow()
	tr.StopBackground()
}

// readFrame returns the payload of the next frame.
func readFrame(t *testing.T, client net.Conn) []byte {
	t.Helper()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	var header [wire.MaxHeaderSize]byte
	n := 0
	for ; !wire.HasHeader(header[:n]); n++ {
		_, err := io.ReadFull(client, header[n:n+1])
		require.NoError(t, err)
	}
	payload := make([]byte, wire.ParseHeader(header[:n]).Length)
	_, err := io.ReadFull(client, payload)
	require.NoError(t, err)
	return payload
}

// shrink makes the buffers of the network between the two ends small.
func shrink(t *testing.T, client *net.TCPConn, tr *Conn) {
	t.Helper()
	require.NoError(t, client.SetReadBuffer(8<<10))
	require.NoError(t, tr.nc.(*net.TCPConn).SetWriteBuffer(8<<10)) //nolint:errcheck // it is one
}

// clog fills the buffers of the network, with what is no frame, until the socket takes nothing
// more.
func clog(t *testing.T, client *net.TCPConn, tr *Conn) {
	t.Helper()
	shrink(t, client, tr)
	junk := make([]byte, 1<<20)
	for vain := 0; vain <= 10; vain++ {
		require.NoError(t, tr.nc.SetWriteDeadline(time.Now().Add(2*time.Millisecond)))
		n, err := tr.nc.Write(junk)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		if n > 0 {
			vain = 0
		}
	}
	require.NoError(t, tr.nc.SetWriteDeadline(time.Time{}))
}

// hold keeps a frame back as the reader does, without the timer that would write it.
func hold(tr *Conn) {
	<-tr.frameLock.Wait()
	defer tr.frameLock.Unlock()
	tr.appendCorked(wire.OpText, []byte("held"))
	tr.ensureCork().timer.Cancel()
}

// Flush leaves frames that are held back to its goroutine where the socket takes nothing.
func TestFlushDoesNotWaitForWhatIsHeldBack(t *testing.T) {
	client, tr := tcpPair(t)
	clog(t, client, tr)
	hold(tr)
	_, err := enqueue(tr, []byte("enqueued"))
	require.NoError(t, err)
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		tr.Flush()
	}()
	select {
	case <-flushed:
	case <-time.After(20 * time.Second):
		assert.Fail(t, "Flush waits for the socket")
	}
	end(tr)
	<-flushed
}

func TestWhatIsHeldBackComesFirst(t *testing.T) {
	client, tr := tcpPair(t)
	for range 10 {
		hold(tr)
		_, err := enqueue(tr, []byte("enqueued"))
		require.NoError(t, err)
		tr.Flush()
		for _, want := range []string{"held", "enqueued"} {
			require.Equal(t, want, string(readFrame(t, client)))
		}
	}
}

// A connection whose queue was written, or abandoned, keeps no frame of it.
func TestQueueKeepsNothing(t *testing.T) {
	const size = 10_000
	enqueueAll := func(t *testing.T, tr *Conn, n int) (pointers []weak.Pointer[byte]) {
		t.Helper()
		for range n {
			frame, err := enqueue(tr, make([]byte, size))
			require.NoError(t, err)
			pointers = append(pointers, weak.Make(&frame[0]))
		}
		return pointers
	}
	requireFreed := func(t *testing.T, pointers []weak.Pointer[byte]) {
		t.Helper()
		for i, p := range pointers {
			require.Eventually(t, func() bool {
				runtime.GC()
				return p.Value() == nil
			}, 20*time.Second, time.Millisecond, "frame %d of %d", i, len(pointers))
		}
	}
	for _, n := range []int{1, 2, 3, 10} {
		t.Run("written", func(t *testing.T) {
			client, tr := tcpPair(t)
			pointers := enqueueAll(t, tr, n)
			tr.Flush()
			for range n {
				require.True(t, bytes.Equal(make([]byte, size), readFrame(t, client)))
			}
			requireFreed(t, pointers)
			tr.awaitFlush()
			q := tr.queue.Made()
			q.mu.Lock()
			defer q.mu.Unlock()
			assert.Nil(t, q.segments)
			assert.Zero(t, q.messages)
			assert.Zero(t, q.bytes)
			assert.False(t, q.flushing)
		})
		t.Run("never flushed", func(t *testing.T) {
			_, tr := tcpPair(t)
			pointers := enqueueAll(t, tr, n)
			end(tr)
			messages, size := tr.Queued()
			assert.Zero(t, messages)
			assert.Zero(t, size)
			requireFreed(t, pointers)
			runtime.KeepAlive(tr)
		})
		t.Run("not taken by the peer", func(t *testing.T) {
			client, tr := tcpPair(t)
			clog(t, client, tr)
			pointers := enqueueAll(t, tr, n)
			tr.Flush()
			end(tr)
			requireFreed(t, pointers)
			runtime.KeepAlive(tr)
		})
	}
}

// A frame that was enqueued does not keep the connection.
func TestQueueKeepsNoConnection(t *testing.T) {
	frame := append(wire.AppendHeader(nil, wire.OpBinary, 100_000), make([]byte, 100_000)...)
	var p weak.Pointer[Conn]
	t.Run("use", func(t *testing.T) {
		_, tr := tcpPair(t)
		for range 100 {
			if enqueueFrame(tr, frame) != nil {
				break
			}
			tr.Flush()
		}
		p = weak.Make(tr)
	})
	require.Eventually(t, func() bool {
		runtime.GC()
		return p.Value() == nil
	}, 20*time.Second, time.Millisecond)
	runtime.KeepAlive(frame)
}

// heap returns the bytes of the heap that are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // the first one leaves what pools have
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc) //nolint:gosec // it is far from overflowing
}

// TestQueueMemoryIsItsBytes enqueues many messages for a peer that takes nothing: the bytes
// of the frames bound the memory, whatever their number.
func TestQueueMemoryIsItsBytes(t *testing.T) {
	for _, size := range []int{0, 15, 62, 63, 125, 1000} {
		client, tr := tcpPair(t)
		clog(t, client, tr)
		frame := append(wire.AppendHeader(nil, wire.OpBinary, size), make([]byte, size)...)
		before := heap()
		var err error
		for err == nil {
			err = enqueueFrame(tr, frame)
		}
		require.ErrorIs(t, err, ErrQueueFull)
		_, queued := tr.Queued()
		require.Greater(t, queued, queueBytes-2*size-10)
		grown := heap() - before
		t.Logf("messages of %d bytes: %d bytes of memory for %d", size, grown, queued)
		assert.Less(t, grown, queued+queued/8+4096)
		end(tr)
	}
}

// TestQueueKeepsTheOrder enqueues messages of many sizes for a peer that reads now and then.
func TestQueueKeepsTheOrder(t *testing.T) {
	client, tr := tcpPair(t)
	shrink(t, client, tr)
	const messages = 5000
	limit := QueueLimit{Messages: math.MaxInt, Bytes: 200_000}
	done := make(chan struct{})
	go func() {
		defer close(done)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range messages {
			size := random.IntN(100)
			if i%1000 == 999 {
				size = random.IntN(50_000)
			}
			frame := binary.BigEndian.AppendUint32(wire.AppendHeader(nil, wire.OpBinary, 4+size), uint32(i)) //nolint:gosec // it fits
			frame = append(frame, make([]byte, size)...)
			room, err := tr.Enqueue(limit, []Frame{{Bytes: frame}})
			for ; room != nil; room, err = tr.Enqueue(limit, []Frame{{Bytes: frame}}) {
				tr.Flush()
				<-room
			}
			assert.NoError(t, err)
			if random.IntN(500) == 0 {
				tr.Flush()
			}
		}
		tr.Flush()
	}()
	require.Eventually(t, func() bool {
		waiting, _ := tr.Queued()
		return waiting > 1000
	}, 20*time.Second, time.Millisecond)
	for i := range messages {
		p := readFrame(t, client)
		require.EqualValues(t, i, binary.BigEndian.Uint32(p))
		require.Empty(t, bytes.Trim(p[4:], "\x00"))
	}
	<-done
	require.Eventually(t, func() bool {
		n, size := tr.Queued()
		return n == 0 && size == 0
	}, 20*time.Second, time.Millisecond)
	assert.EqualValues(t, messages, tr.counts.messagesSent.Load())
}
