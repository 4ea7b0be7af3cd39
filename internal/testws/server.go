package testws

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455, 4.2.2
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// BareServer returns a server whose handle function answers handshakes by hand. It hangs up
// when handle returns.
func BareServer(handle func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		handle(r, conn, rw)
	})
}

// Says returns a bare server that sends a 101 and frames after it, in one write, and reads
// until the client hangs up.
func Says(frames ...wstest.Frame) http.Handler {
	return BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
		b := []byte(Switching(r))
		for _, f := range frames {
			b = f.AppendTo(b)
		}
		_, _ = conn.Write(b)
		_, _ = io.Copy(io.Discard, rw)
	})
}

// Switching returns the 101 response to a request, with additional header lines.
func Switching(r *http.Request, more ...string) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // likewise
	lines := append([]string{
		"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]),
	}, more...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// Target returns the URL of a path of the server, and options to reach it.
func Target(server any, path string) (string, websocket.DialOptions) {
	switch server := server.(type) {
	case *wstest.Server:
		return "ws://wstest" + path, websocket.DialOptions{DialContext: server.DialContext}
	case *httptest.Server:
		options := websocket.DialOptions{TLSConfig: server.Client().Transport.(*http.Transport).TLSClientConfig} //nolint:errcheck // it is one
		return "ws" + strings.TrimPrefix(server.URL, "http") + path, options
	default:
		panic(fmt.Sprintf("can't dial a %T", server))
	}
}

// Dial connects with options modified by change. The socket is closed at the end of the
// test.
func Dial(t *testing.T, server any, change func(o *websocket.DialOptions)) *websocket.Conn {
	t.Helper()
	u, options := Target(server, "/")
	if change != nil {
		change(&options)
	}
	conn, _, err := websocket.Dial(t.Context(), u, &options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// Greet sends a message, waits for its echo and closes the connection.
func Greet(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	defer func() { _ = conn.CloseNow() }()
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, message, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello", string(message))
	require.NoError(t, conn.Close(1000, ""))
}
