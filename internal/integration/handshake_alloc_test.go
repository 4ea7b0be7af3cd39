//go:build linux && !race

package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A leanClient makes connections by system calls, without an allocation. Only one goroutine may use
// it.
type leanClient struct {
	server  syscall.SockaddrInet4
	timeout syscall.Timeval // of each read
	close   []byte
	answer  []byte
	buffer  [1024]byte
}

func newLeanClient(server *httptest.Server) *leanClient {
	address := server.Listener.Addr().(*net.TCPAddr) //nolint:errcheck // it is
	return &leanClient{
		server:  syscall.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())},
		timeout: syscall.Timeval{Sec: 30},
		close:   wire.MaskedFrame(wire.OpClose, []byte{1000 >> 8, 1000 & 0xff}),
		answer:  []byte{wire.BitFin | wire.OpClose, 2, 1000 >> 8, 1000 & 0xff},
	}
}

var leanRequest = []byte(benchRequest)

// connect connects and performs the opening and the closing handshake.
func (c *leanClient) connect() (err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() {
		if closed := syscall.Close(fd); closed != nil {
			err = errors.Join(err, closed)
		}
	}()
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &c.timeout); err != nil {
		return err
	}
	if err := syscall.Connect(fd, &c.server); err != nil {
		return err
	}
	if _, err := syscall.Write(fd, leanRequest); err != nil {
		return err
	}
	if p, err := c.read(fd); !bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("no opening handshake: %q, %v", p, err) //nolint:errorlint // it may be nil
	}
	if _, err := syscall.Write(fd, c.close); err != nil {
		return err
	}
	if p, err := c.read(fd); !bytes.Equal(p, c.answer) {
		return fmt.Errorf("no closing handshake: %q, %v", p, err) //nolint:errorlint // likewise
	}
	if p, err := c.read(fd); len(p) > 0 || err != nil {
		return fmt.Errorf("no end: %q, %v", p, err) //nolint:errorlint // likewise
	}
	return nil
}

// read returns what arrives next, nothing at the end of the stream. It is bounded by the timeout
// of the socket.
func (c *leanClient) read(fd int) ([]byte, error) {
	for {
		n, err := syscall.Read(fd, c.buffer[:])
		if err != syscall.EINTR {
			return c.buffer[:max(n, 0)], err
		}
	}
}

// handshakeServers read until a connection has ended: this library, and gorilla alone.
var handshakeServers = []struct {
	name    string
	handler http.Handler
}{
	{name: "ours", handler: websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) (err error) {
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
		return err
	}))},
	{name: "gorilla", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := ws.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
	})},
}

// TestAllocationsOfHandshakes counts the allocations of the whole process for a connection with
// both handshakes; those of net/http are most of them. The client allocates nothing.
func TestAllocationsOfHandshakes(t *testing.T) {
	allocs := map[string]float64{}
	for _, server := range handshakeServers {
		s := httptest.NewServer(server.handler)
		client := newLeanClient(s)
		connect := func() {
			if err := client.connect(); err != nil {
				t.Error(err)
			}
		}
		for range 100 { // pools are filled
			connect()
		}
		allocs[server.name] = testing.AllocsPerRun(2000, connect)
		s.Close()
	}
	t.Log(allocs)
	require.Positive(t, allocs["gorilla"])
	assert.LessOrEqual(t, allocs["ours"], allocs["gorilla"]+7)
}

// BenchmarkHandshake has one client connect, be upgraded and close.
func BenchmarkHandshake(b *testing.B) {
	for _, server := range handshakeServers {
		b.Run(server.name, func(b *testing.B) {
			s := httptest.NewServer(server.handler)
			defer s.Close()
			client := newLeanClient(s)
			b.ReportAllocs()
			for b.Loop() {
				if err := client.connect(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
