package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// networks are where an endpoint can be mounted. Each returns what wstest dials.
var networks = map[string]func(t *testing.T, handler http.Handler) any{
	"in memory": func(t *testing.T, handler http.Handler) any { return wstest.Serve(t, handler) },
	"over TCP": func(t *testing.T, handler http.Handler) any {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server
	},
	"over TLS": func(t *testing.T, handler http.Handler) any {
		server := httptest.NewTLSServer(handler)
		t.Cleanup(server.Close)
		return server
	},
}

func onNetworks(t *testing.T, test func(t *testing.T, serve func(http.Handler) any), names ...string) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			test(t, func(handler http.Handler) any { return networks[name](t, handler) })
		})
	}
}

// An httpConn is one connection to an HTTP server, on which one request follows
// another.
type httpConn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dialHTTP(t testing.TB, server any) *httpConn {
	t.Helper()
	conn, err := dialBare(t, server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &httpConn{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

// dialBare opens a connection, without TLS.
func dialBare(t testing.TB, server any) (net.Conn, error) {
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

// hurry bounds what is expected next.
func (c *httpConn) hurry() {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
}

// send writes bytes as they are.
func (c *httpConn) send(p []byte) {
	c.t.Helper()
	_, err := c.Write(p)
	require.NoError(c.t, err)
}

// A reply is the answer to a request, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	closes bool // the connection, behind it
}

// do sends a request and reads the answer.
func (c *httpConn) do(request *http.Request) reply {
	c.t.Helper()
	require.NoError(c.t, request.Write(c))
	return c.answer(request)
}

func (c *httpConn) answer(request *http.Request) reply {
	c.t.Helper()
	c.hurry()
	response, err := http.ReadResponse(c.r, request)
	require.NoError(c.t, err)
	if response.StatusCode == http.StatusSwitchingProtocols {
		require.NoError(c.t, response.Body.Close()) // there is none: what follows is frames
		return reply{status: response.StatusCode, header: response.Header}
	}
	return readReply(c.t, response)
}

func readReply(t testing.TB, response *http.Response) reply {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return reply{status: response.StatusCode, header: response.Header, body: string(body), closes: response.Close}
}

// dialRefused is wstest's, as a reply.
func dialRefused(t testing.TB, target any, path string, options *wstest.Options) reply {
	t.Helper()
	response := wstest.DialRefused(t, target, path, options)
	defer func() { _ = response.Body.Close() }()
	return readReply(t, response)
}

// expectAlive checks that the connection is still one to an HTTP server, on
// which no byte too many was written.
func (c *httpConn) expectAlive() {
	c.t.Helper()
	response := c.do(httptest.NewRequest(http.MethodGet, "http://example.com/alive", http.NoBody))
	require.Equal(c.t, http.StatusOK, response.status)
	require.Equal(c.t, "alive", response.body)
}

// expectFrames reads frames of the server.
func (c *httpConn) expectFrames(frames ...wstest.Frame) {
	c.t.Helper()
	c.hurry()
	for _, want := range frames {
		got, err := wstest.ReadFrame(c.r)
		require.NoError(c.t, err)
		require.Equal(c.t, want.Unmasked().String(), got.String())
		require.True(c.t, bytes.Equal(want.Payload, got.Payload))
	}
}

// upgradeRequest is the request of a client that does everything right, but for
// the change.
func upgradeRequest(change func(r *http.Request)) *http.Request {
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

func upgradeBytes(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, upgradeRequest(nil).Write(&b))
	return b.Bytes()
}

// besidesAlive mounts a handler at /ws, beside a page.
func besidesAlive(handler http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/ws", handler)
	mux.HandleFunc("/alive", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") })
	return mux
}

// requireIdle checks that nothing is open, or counted as if it were: Shutdown
// has nothing to wait for.
func requireIdle(t *testing.T, endpoint interface {
	Shutdown(ctx context.Context) error
}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, endpoint.Shutdown(ctx))
}

// headerController adds headers to the 101.
type headerController struct {
	websocket.ControllerFunc
	headers func(r *http.Request) http.Header
}

func (ctrl *headerController) UpgradeHeaders(r *http.Request) http.Header { return ctrl.headers(r) }

// refusalController answers refused upgrades.
type refusalController struct {
	headerController
	refuse func(w http.ResponseWriter, r *http.Request, status int, reason error)
}

func (ctrl *refusalController) OnUpgradeError(w http.ResponseWriter, r *http.Request, status int, reason error) {
	ctrl.refuse(w, r, status, reason)
}

func noHeaders(*http.Request) http.Header { return nil }
