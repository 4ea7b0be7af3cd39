//go:build !race

package integration_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

const stalledPeers = 100

// A stall is the point at which a peer stops in the middle of something.
type stall struct {
	name string
	sent []byte
	come int // bytes that the connection may hold twice; 0: all that was sent

	everywhere bool // for all ways to read; otherwise for those of whole messages
}

// begin returns the beginning of a frame: its header, which announces a length, and a part
// of the payload.
func begin(f wstest.Frame, announced, come int) []byte {
	b := f.AppendHeader(nil, uint64(announced))
	return append(b, masked(f, pseudoText(come))...)
}

func masked(f wstest.Frame, p []byte) []byte {
	f.Payload = p
	return f.Bytes()[len(f.AppendHeader(nil, uint64(len(p)))):]
}

func plainStalls() []stall {
	return stallsOf(wstest.Text(""), wstest.Ping(""), wstest.Close(1000, "so long"))
}

// stallsOf returns the stalls of a client or, with unmasked frames, of a server.
func stallsOf(text, ping, goodbye wstest.Frame) []stall {
	first, next := text, text
	first.Fin, next.Fin, next.Opcode = false, false, wstest.OpContinuation
	fragments := first.AppendHeader(nil, 1000)
	fragments = append(fragments, masked(first, pseudoText(1000))...)
	farewell := goodbye.Bytes()
	hello := text
	hello.Payload = []byte("hello")
	return []stall{
		{name: "one byte of a header", sent: []byte{0x81}, everywhere: true},
		{name: "a header but its last byte", sent: begin(text, 60<<10, 0)[:7]},
		{name: "a header that announces 125 bytes", sent: begin(text, 125, 0)},
		{name: "a header that announces 60 KiB", sent: begin(text, 60<<10, 0)},
		{name: "a header that announces 1 MiB", sent: begin(text, 1<<20, 0), everywhere: true},
		{name: "one byte of 60 KiB", sent: begin(text, 60<<10, 1)},
		{name: "1,000 bytes of 16 KiB", sent: begin(text, 16<<10, 1000), everywhere: true},
		{name: "20 KiB of 60 KiB", sent: begin(text, 60<<10, 20<<10), everywhere: true},
		{name: "64 KiB and a byte of 1 MiB", sent: begin(text, 1<<20, 64<<10+1), everywhere: true},
		{name: "300 KiB of 1 MiB", sent: begin(text, 1<<20, 300<<10), everywhere: true},
		{name: "a fragment", sent: fragments, everywhere: true},
		{name: "a fragment, and a header that announces 1 MiB less that", sent: slices.Concat(fragments, begin(next, 1<<20-1000, 0)), everywhere: true},
		{name: "a fragment, and 100 KiB of another", sent: slices.Concat(fragments, begin(next, 1<<20-1000, 100<<10)), everywhere: true},
		{name: "half of a ping", sent: append(ping.AppendHeader(nil, 100), make([]byte, 50)...), everywhere: true},
		{name: "half of a close frame", sent: farewell[:len(farewell)-3], everywhere: true},
		{name: "a message, and one byte of a header", sent: append(hello.Bytes(), 0x81)},
	}
}

func compressedStalls(t *testing.T) []stall {
	text := string(pseudoText(400 << 10))
	whole := testws.Deflated(text)
	first, next := whole, whole
	first.Fin, next.Fin, next.Opcode, next.RSV = false, false, wstest.OpContinuation, 0
	begin := func(f wstest.Frame, announced, from, to int) []byte {
		return append(f.AppendHeader(nil, uint64(announced)), masked(f, whole.Payload[from:to])...)
	}
	stalls := []stall{
		{name: "a header that announces 60 KiB", sent: begin(whole, 60<<10, 0, 0), everywhere: true},
		{name: "one byte of 60 KiB", sent: begin(whole, 60<<10, 0, 1)},
		{name: "20 KiB of 60 KiB", sent: begin(whole, 60<<10, 0, 20<<10), come: 20 << 10, everywhere: true},
		{name: "a header that announces 200 KiB", sent: begin(whole, 200<<10, 0, 0), everywhere: true},
		{name: "one byte of 200 KiB", sent: begin(whole, 200<<10, 0, 1)},
		{name: "1,000 bytes of 200 KiB", sent: begin(whole, 200<<10, 0, 1000), come: 1000, everywhere: true},
		{name: "20 KiB of 200 KiB", sent: begin(whole, 200<<10, 0, 20<<10), come: 20 << 10, everywhere: true},
		{name: "150 KiB of 200 KiB", sent: begin(whole, 200<<10, 0, 150<<10), come: 150 << 10, everywhere: true},
		{name: "a fragment", sent: begin(first, 1000, 0, 1000), come: 1000, everywhere: true},
		{name: "a fragment, and a header that announces 200 KiB", sent: append(begin(first, 1000, 0, 1000), begin(next, 200<<10, 0, 0)...), come: 1000},
		{name: "a fragment, and one byte of a header", sent: append(begin(first, 1000, 0, 1000), 0), come: 1000, everywhere: true},
		{name: "a fragment, and 20 KiB of another", sent: append(begin(first, 1000, 0, 1000), begin(next, 200<<10, 1000, 20<<10)...), come: 20 << 10},
	}
	for i, s := range stalls {
		r := flate.NewReader(bytes.NewReader(whole.Payload[:s.come]))
		n, err := io.Copy(io.Discard, r) // what a part of it inflates to
		require.Error(t, err)
		stalls[i].come = max(len(s.sent), int(n))
	}
	return stalls
}

// A wayToRead reads until something goes wrong.
type wayToRead struct {
	name  string
	serve func(conn *websocket.Conn) error
}

func waysToRead() []wayToRead {
	forever := func(read func(conn *websocket.Conn) error) func(conn *websocket.Conn) error {
		return func(conn *websocket.Conn) error {
			for {
				if err := read(conn); err != nil {
					return err
				}
			}
		}
	}
	return []wayToRead{
		{"ReadMessage", forever(func(conn *websocket.Conn) error {
			_, _, err := conn.ReadMessage()
			return err
		})},
		{"ReadSlice", forever(func(conn *websocket.Conn) error {
			_, _, err := conn.ReadSlice()
			return err
		})},
		{"NextReader", forever(func(conn *websocket.Conn) error {
			_, r, err := conn.NextReader()
			for p := make([]byte, 512); err == nil; {
				_, err = r.Read(p)
			}
			if err == io.EOF { //nolint:errorlint // a wrapped one is no end
				err = nil
			}
			return err
		})},
		{"NextReader, messages skipped", forever(func(conn *websocket.Conn) error {
			_, _, err := conn.NextReader()
			return err
		})},
		{"ReadJSON", forever(func(conn *websocket.Conn) error {
			var v any
			err := conn.ReadJSON(&v)
			if _, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // as it comes
				err = nil
			}
			return err
		})},
		{"JoinMessages", func(conn *websocket.Conn) error {
			r := websocket.JoinMessages(conn, "\n")
			for p := make([]byte, 512); ; {
				if _, err := r.Read(p); err != nil {
					return err
				}
			}
		}},
		{"Stream", func(conn *websocket.Conn) error {
			r := websocket.Stream(context.Background(), conn, websocket.TextMessage)
			for p := make([]byte, 512); ; {
				if _, err := r.Read(p); err != nil {
					return err
				}
			}
		}},
		{"Close", func(conn *websocket.Conn) error { return conn.Close(websocket.CloseNormalClosure, "") }},
		{"CloseRead", func(conn *websocket.Conn) error {
			<-conn.CloseRead(context.Background()).Done()
			return nil
		}},
	}
}

// endpoint serves in one of the ways.
func endpoint(way wayToRead) *websocket.Upgrader {
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error { return way.serve(conn) }))
	u.Logger = testws.Silent
	u.CloseTimeout = time.Minute
	return u
}

// Peers send a part of something and stop. While a read waits for the rest, the connection
// holds, in heap and stack, at most 4 KiB and twice what has arrived more than an idle one.
func TestStalledPeersHoldLittle(t *testing.T) {
	for i, way := range waysToRead() {
		t.Run(way.name, func(t *testing.T) {
			for _, s := range plainStalls() {
				if i > 1 && !s.everywhere {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					u := endpoint(way)
					server := httptest.NewServer(u)
					defer server.Close()
					stalled(t, u, server, s, 0)
				})
			}
		})
		t.Run(way.name+", compressed", func(t *testing.T) {
			for _, s := range compressedStalls(t) {
				if i > 1 && !s.everywhere {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					u := endpoint(way)
					u.Settings.EnableCompression = true
					server := httptest.NewServer(u)
					defer server.Close()
					stalled(t, u, server, s, 0)
				})
			}
		})
	}
}

// notBare wraps a socket, so that it is not a bare one.
type notBare struct{ net.Conn }

type notBareListener struct{ net.Listener }

func (l notBareListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return notBare{nc}, err
}

// The same for a connection that can't check for data before it waits. It holds a buffer
// even when it is idle.
func TestStalledPeersOfWrappedConnections(t *testing.T) {
	for i, way := range waysToRead()[:3] {
		t.Run(way.name, func(t *testing.T) {
			for _, s := range append(plainStalls(), compressedStalls(t)...) {
				if i > 0 && !s.everywhere {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					u := endpoint(way)
					u.Settings.EnableCompression = true
					server := httptest.NewUnstartedServer(u)
					server.Listener = notBareListener{server.Listener}
					server.Start()
					defer server.Close()
					stalled(t, u, server, s, 0)
				})
			}
		})
	}
}

// recordsOfTLS is the memory of crypto/tls for a record of up to 16 KiB that is incomplete,
// or was: its buffer doubles as it grows, and is kept for the next records.
const recordsOfTLS = 40 << 10

// The same over TLS, which has memory of its own.
func TestStalledPeersOverTLS(t *testing.T) {
	way := waysToRead()[0]
	for _, s := range plainStalls() {
		if !s.everywhere {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			u := endpoint(way)
			server := httptest.NewTLSServer(u)
			defer server.Close()
			stalled(t, u, server, s, recordsOfTLS)
		})
	}
}

// stalled checks how much memory an endpoint's connections hold whose peers stall. The
// layers below may hold more.
func stalled(t *testing.T, u *websocket.Upgrader, server *httptest.Server, s stall, below int) {
	t.Helper()
	clients := make([]*wstest.Raw, stalledPeers)
	for i := range clients {
		clients[i] = wstest.DialRaw(t, server, "/", &wstest.Options{Compression: u.Settings.EnableCompression})
	}
	require.Eventually(t, func() bool { return u.Stats().Open == stalledPeers }, 20*time.Second, time.Millisecond)
	idle := slices.Min([]int64{inUse(), inUse(), inUse()})
	for _, client := range clients {
		client.SendBytes(s.sent)
	}
	require.Eventually(t, func() bool {
		return u.Stats().BytesReceived == uint64(stalledPeers*len(s.sent))
	}, 20*time.Second, time.Millisecond)
	come := s.come
	if come == 0 {
		come = len(s.sent)
	}
	most := int64(4<<10 + 2*come + below)
	var each int64
	for deadline := time.Now().Add(5 * time.Second); ; {
		each = (inUse() - idle) / stalledPeers
		if each <= most || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d bytes sent, %d held of at most %d", len(s.sent), each, most)
	require.LessOrEqual(t, each, most, "bytes a connection besides the idle one's")
	require.Equal(t, stalledPeers, u.Stats().Open)
	runtime.KeepAlive(clients)
}

// inUse returns the bytes of heap and stacks that are in use.
func inUse() int64 {
	time.Sleep(time.Millisecond)
	runtime.GC()
	runtime.GC() // pools are empty now
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) //nolint:gosec // it is far from overflowing
}
