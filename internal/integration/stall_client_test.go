//go:build !race

package integration_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStalledServersHoldLittle is TestStalledPeersHoldLittle for the clients of Dial.
func TestStalledServersHoldLittle(t *testing.T) {
	hello := wstest.Text("hello").Unmasked()
	stalls := stallsOf(wstest.Text("").Unmasked(), wstest.Ping("").Unmasked(), wstest.Close(1000, "so long").Unmasked())
	for _, s := range stalls {
		if !s.everywhere {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer func() { _ = l.Close() }()
			conns, servers := make([]*websocket.Conn, stalledPeers), make([]net.Conn, stalledPeers)
			got := make(chan struct{}, stalledPeers)
			var reading sync.WaitGroup
			defer reading.Wait()
			for i := range conns {
				accepted := make(chan net.Conn, 1)
				go func() { accepted <- acceptByHand(l) }()
				conns[i], _, err = websocket.Dial(t.Context(), "ws://"+l.Addr().String(), nil)
				require.NoError(t, err)
				servers[i] = <-accepted
				reading.Go(func() {
					for {
						if _, _, err := conns[i].ReadMessage(); err != nil {
							return
						}
						got <- struct{}{}
					}
				})
				defer func() { _ = conns[i].CloseNow() }()
			}
			send := func(p []byte) { // and wait until what it begins with is read
				for _, server := range servers {
					_, err := server.Write(append(hello.Bytes(), p...))
					require.NoError(t, err)
				}
				for range servers {
					<-got
				}
			}
			send(nil)
			idle := slices.Min([]int64{inUse(), inUse(), inUse()})
			send(s.sent)
			most := int64(4<<10 + 2*len(s.sent))
			var each int64
			for deadline := time.Now().Add(5 * time.Second); ; {
				each = (inUse() - idle) / stalledPeers
				if each <= most || time.Now().After(deadline) {
					break
				}
			}
			t.Logf("%d bytes sent, %d held of at most %d", len(s.sent), each, most)
			require.LessOrEqual(t, each, most, "bytes a connection besides the idle one's")
			runtime.KeepAlive(servers)
		})
	}
}

// acceptByHand accepts a connection and answers its handshake without the library.
func acceptByHand(l net.Listener) net.Conn {
	nc, err := l.Accept()
	if err != nil {
		return nil
	}
	if r, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
		_, _ = io.WriteString(nc, testws.Switching(r))
	}
	return nc
}

// The peer violates the protocol in the middle of large messages. The server releases their
// memory before it waits for the peer to take its close frame.
func TestBreachesHoldNothing(t *testing.T) {
	const size = 32 << 20
	text := append(make([]byte, size*3/4), 0xff)
	ways := waysToRead()[:3]
	for _, way := range ways {
		for name, frame := range map[string]wstest.Frame{"plain": wstest.Text(string(text)), "compressed": testws.Deflated(string(text))} {
			t.Run(way.name+", "+name, func(t *testing.T) {
				u := endpoint(way)
				u.MaxMessageSize = -1
				u.Settings.EnableCompression = true
				server := httptest.NewServer(u)
				defer server.Close()
				client := wstest.DialRaw(t, server, "/", &wstest.Options{Compression: true})
				sent := frame.Bytes()
				if name == "plain" {
					sent = slices.Concat(wstest.Text("").AppendHeader(nil, size), sent[14:])
				}
				idle := inUse()
				client.SendBytes(sent)
				client.ExpectClose(1007, "text is not UTF-8")
				assert.Less(t, inUse()-idle, int64(1<<20))
				require.Equal(t, 1, u.Stats().Open, "it was over before it was looked at")
			})
		}
	}
}
