package conformance_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// agreedOn is the server's answer when it accepts an offer of permessage-deflate.
const agreedOn = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// A client is the client's end of a connection. It sends only what the test sends.
type client struct {
	net.Conn
	receiver
	socket net.Conn // beneath TLS, or the connection itself
	ended  chan websocket.Ending
	t      *testing.T

	mu     sync.Mutex
	last   time.Time     // when something was last sent or received
	waited time.Duration // the longest wait for something that should arrive at once
}

// dial connects and performs the opening handshake (RFC 6455, 4.1).
func dial(t *testing.T, s *server, r *row) *client {
	t.Helper()
	c := &client{ended: make(chan websocket.Ending, 1), t: t}
	var err error
	c.socket, err = net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.socket.Close() })
	s.ended.Store(c.socket.LocalAddr().String(), c.ended)
	c.Conn = c.socket
	if s.variant.secure {
		c.Conn = tls.Client(c.socket, s.tls)
	}
	_ = c.SetDeadline(time.Now().Add(patience))

	path, offer, answer := "/", s.variant.offer, ""
	if s.variant.agreed() {
		answer = agreedOn
	}
	if s.variant.takeover {
		answer = deflateOffer
	}
	if r.goodbye {
		path = goodbye
	}
	if r.offer != "" {
		offer, answer = r.offer, r.answer
	}
	request := "GET " + path + " HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if offer != "" {
		request += "Sec-WebSocket-Extensions: " + strings.ReplaceAll(offer, "\n", "\r\nSec-WebSocket-Extensions: ") + "\r\n"
	}
	if request += "\r\n"; r.request != nil {
		request = r.request(request)
	}
	_, err = c.Write([]byte(request))
	require.NoError(t, err)
	c.progress()
	buffered := bufio.NewReader(c.Conn)
	response, err := http.ReadResponse(buffered, nil) //nolint:bodyclose // the body is empty or not read
	require.NoError(t, err)
	if r.refused != 0 {
		c.measureWait(0)
		require.Equal(t, r.refused, response.StatusCode)
		require.Equal(t, "13", response.Header.Get("Sec-WebSocket-Version"))
		require.Equal(t, r.refused == http.StatusUpgradeRequired, response.Header.Get("Upgrade") == "websocket")
		require.NoError(t, c.socket.Close())
		return c
	}
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", response.Header.Get("Sec-WebSocket-Accept"), "the answer to the key of the RFC's example")
	require.Equal(t, answer, strings.Join(response.Header["Sec-Websocket-Extensions"], ", "))
	_ = c.SetDeadline(time.Time{})
	c.receiver = receiver{r: buffered, deflate: answer != "", window: takenOver(answer, "server")}
	return c
}

// progress records that something was sent or received now.
func (c *client) progress() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// measureWait records how long something took that was received now and should arrive at once,
// or after the allowed time.
func (c *client) measureWait(allowed time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited = max(c.waited, time.Since(c.last)-allowed)
	c.last = time.Now()
}

func (c *client) send(s sent) {
	c.t.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Write(s.wire())
	require.NoError(c.t, err)
	c.progress()
}

// sendChopped sends b in pieces of at most the given size, on a goroutine. An error ends it
// without a failure of the test, because a server may close the connection before the end.
func (c *client) sendChopped(b []byte, most int, thenHangUp bool) *sync.WaitGroup {
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	c.progress()
	var sending sync.WaitGroup
	c.t.Cleanup(func() { // a failed test does not wait for it
		_ = c.socket.Close()
		sending.Wait()
	})
	sending.Go(func() {
		for len(b) > 0 {
			n, err := c.Write(b[:min(most, len(b))])
			if err != nil {
				return
			}
			b = b[n:]
			c.progress()
		}
		if thenHangUp {
			half, ok := c.Conn.(interface{ CloseWrite() error })
			assert.True(c.t, ok)
			assert.NoError(c.t, half.CloseWrite())
		}
	})
	return &sending
}
