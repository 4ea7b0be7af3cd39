//go:build linux && !race

package integration_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echoes is a connection whose messages are sent back.
type echoes websocket.Conn

func (e *echoes) OnMessage(messageType int, message []byte) error {
	return (*websocket.Conn)(e).WriteMessage(messageType, message)
}

// A parked connection takes the same memory before its first message and after a long one. The clients
// are descriptors, which take none. There is one message for each, so that none is busy: Go would keep the
// goroutines.
func TestParkedConnectionsAreSmall(t *testing.T) {
	const many, bound = 1000, 1900 // bytes
	u := websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
		return (*echoes)(conn), nil
	}))
	type key struct{}
	for name, handler := range map[string]http.Handler{
		"net/http": u,
		"below middleware": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, 1)))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(handler)
			defer s.Close()
			client := newLeanClient(s)
			fds := make([]int, many)
			first := client.open(t) // for what all share
			client.exchange(t, first, make([]byte, 16<<10))
			defer func() { _ = syscall.Close(first) }()
			before := heapInUse(t)
			for i := range fds {
				fds[i] = client.open(t)
				defer func() { _ = syscall.Close(fds[i]) }()
			}
			each := func() int { return (heapInUse(t) - before) / many }
			fresh := each()
			assert.Less(t, fresh, bound)
			message := bytes.Repeat([]byte{'x'}, 16<<10)
			for _, fd := range fds {
				client.exchange(t, fd, message)
			}
			used := each()
			assert.Less(t, used, bound)
			assert.InDelta(t, fresh, used, 50)
			t.Logf("%d bytes, and %d after a message", fresh, used)
		})
	}
}

// open makes a connection, and returns its descriptor.
func (c *leanClient) open(t *testing.T) (fd int) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &c.timeout))
	require.NoError(t, syscall.Connect(fd, &c.server))
	_, err = syscall.Write(fd, leanRequest)
	require.NoError(t, err)
	p, err := c.read(fd)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")), "%q", p)
	return fd
}

// exchange sends a message and awaits its echo.
func (c *leanClient) exchange(t *testing.T, fd int, message []byte) {
	frame := wire.MaskedFrame(wire.OpBinary, message)
	for len(frame) > 0 {
		n, err := syscall.Write(fd, frame)
		require.NoError(t, err)
		frame = frame[n:]
	}
	want := append(wire.AppendHeader(nil, wire.OpBinary, len(message)), message...)
	for len(want) > 0 {
		p, err := c.read(fd)
		require.NoError(t, err)
		require.NotEmpty(t, p)
		require.True(t, bytes.HasPrefix(want, p))
		want = want[len(p):]
	}
}

// heapInUse returns the bytes of the heap once all connections are parked.
func heapInUse(t *testing.T) int {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for range 1000 {
		now := string(stacks[:runtime.Stack(stacks, true)])
		if !strings.Contains(now, ".(*messages).") && !strings.Contains(now, "net/http.(*conn).serve") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	runtime.GC()
	runtime.GC() // pools let go in two steps
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc) //nolint:gosec // far from overflowing
}
