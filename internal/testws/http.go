package testws

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An HTTPConn is one connection to an HTTP server, for several requests in sequence.
type HTTPConn struct {
	net.Conn
	t testing.TB
	R *bufio.Reader // reads from the server
}

// Hurry bounds the next reads by 5 seconds.
func (c *HTTPConn) Hurry() {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
}

// Send writes bytes unchanged.
func (c *HTTPConn) Send(p []byte) {
	c.t.Helper()
	_, err := c.Write(p)
	require.NoError(c.t, err)
}

// Do sends a request and reads the response.
func (c *HTTPConn) Do(request *http.Request) Reply {
	c.t.Helper()
	require.NoError(c.t, request.Write(c))
	return c.Answer(request)
}

// Answer reads the response to a request that was sent.
func (c *HTTPConn) Answer(request *http.Request) Reply {
	c.t.Helper()
	c.Hurry()
	response, err := http.ReadResponse(c.R, request)
	require.NoError(c.t, err)
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusSwitchingProtocols { // what follows is frames
		return Reply{Status: response.StatusCode, Header: response.Header}
	}
	return ReadReply(c.t, response)
}

// ExpectAlive checks that the connection still speaks HTTP, and that no excess byte was
// written to it.
func (c *HTTPConn) ExpectAlive() {
	c.t.Helper()
	response := c.Do(httptest.NewRequest(http.MethodGet, "http://example.com/alive", http.NoBody))
	require.Equal(c.t, http.StatusOK, response.Status)
	require.Equal(c.t, "alive", response.Body)
}

// ExpectFrames reads frames of the server and compares them.
func (c *HTTPConn) ExpectFrames(frames ...wstest.Frame) {
	c.t.Helper()
	c.Hurry()
	for _, want := range frames {
		got, err := wstest.ReadFrame(c.R)
		require.NoError(c.t, err)
		require.Equal(c.t, want.Unmasked().String(), got.String())
		require.True(c.t, bytes.Equal(want.Payload, got.Payload))
	}
}

// DialHTTP opens a connection to a server, without TLS. It is closed at the end of the
// test.
func DialHTTP(t testing.TB, server any) *HTTPConn {
	t.Helper()
	conn, err := DialBare(t, server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &HTTPConn{Conn: conn, t: t, R: bufio.NewReader(conn)}
}

// DialBare opens a connection to a server, without TLS. The caller closes it.
func DialBare(t testing.TB, server any) (net.Conn, error) {
	switch server := server.(type) {
	case *wstest.Server:
		return server.DialContext(t.Context(), "", "")
	case *wstest.Listener:
		return server.DialContext(t.Context())
	case *httptest.Server:
		return net.Dial("tcp", server.Listener.Addr().String())
	default:
		return nil, fmt.Errorf("a %T is no server", server)
	}
}

// A Reply is the response to a request, read to its end.
type Reply struct {
	Status int
	Header http.Header
	Body   string
	Closes bool // the connection, after the response
}

// ReadReply reads a response to its end. The caller closes the response's body.
func ReadReply(t testing.TB, response *http.Response) Reply {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return Reply{Status: response.StatusCode, Header: response.Header, Body: string(body), Closes: response.Close}
}

// DialRefused is wstest.DialRefused, and reads the response to its end.
func DialRefused(t testing.TB, target any, path string, options *wstest.Options) Reply {
	t.Helper()
	response := wstest.DialRefused(t, target, path, options)
	defer func() { _ = response.Body.Close() }()
	return ReadReply(t, response)
}

// UpgradeRequest returns the request of a valid handshake, modified by change.
func UpgradeRequest(change func(r *http.Request)) *http.Request {
	request := httptest.NewRequest(http.MethodGet, "http://example.com/ws", http.NoBody)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-Websocket-Version", "13")
	request.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if change != nil {
		change(request)
	}
	return request
}

// UpgradeBytes returns UpgradeRequest as it is sent.
func UpgradeBytes(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, UpgradeRequest(nil).Write(&b))
	return b.Bytes()
}

// UpgradeBare performs the opening handshake on a bare connection and returns the status of
// the response. It reads nothing after the head of the response.
func UpgradeBare(t *testing.T, conn net.Conn) int {
	t.Helper()
	request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	_, err := io.WriteString(conn, request)
	assert.NoError(t, err)
	var answer []byte
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
		var b [1]byte
		if _, err := io.ReadFull(conn, b[:]); !assert.NoError(t, err) {
			return 0
		}
		answer = append(answer, b[0])
	}
	var status int
	_, err = fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status)
	assert.NoError(t, err)
	return status
}

// BesidesAlive mounts a handler at /ws, beside a page at /alive.
func BesidesAlive(handler http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/ws", handler)
	mux.HandleFunc("/alive", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") })
	return mux
}

// OpaqueWriter is a response writer without an Unwrap method, as careless middleware makes
// it.
type OpaqueWriter struct{ http.ResponseWriter }
