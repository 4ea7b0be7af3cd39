package integration_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// HTTP/1.0 has no upgrades: a server must ignore the Upgrade header (RFC 6455, 4.2.1; RFC
// 9110, 7.8).
func TestHTTP10(t *testing.T) {
	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	conn.Send(bytes.Replace(testws.UpgradeBytes(t), []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1))
	response := conn.Answer(testws.UpgradeRequest(nil))
	require.Equal(t, http.StatusBadRequest, response.Status)
}

// A 405 response must list the allowed methods (RFC 9110, 15.5.6).
func TestMethodNotAllowed(t *testing.T) {
	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	response := conn.Do(testws.UpgradeRequest(func(r *http.Request) { r.Method = http.MethodPost }))
	require.Equal(t, http.StatusMethodNotAllowed, response.Status)
	require.Contains(t, response.Header.Get("Allow"), http.MethodGet)
}

// Clients that announce a body and do not send it get their response at once, whatever the
// reason of the refusal is.
func TestBodyIsNotWaitedFor(t *testing.T) {
	for _, body := range []struct{ name, header, begin string }{
		{name: "of a known length", header: "Content-Length: 5\r\n"},
		{name: "that has come in part", header: "Content-Length: 5\r\n", begin: "a"},
		{name: "of a length that net/http would not read", header: "Content-Length: 1000000\r\n"},
		{name: "in chunks", header: "Transfer-Encoding: chunked\r\n"},
		{name: "in chunks, of which one has come", header: "Transfer-Encoding: chunked\r\n", begin: "1\r\na\r\n"},
		{name: "that waits to be asked for", header: "Expect: 100-continue\r\nContent-Length: 5\r\n"},
	} {
		for _, tt := range []struct {
			name   string
			change func(r *http.Request)
			down   bool
			status int
		}{
			{name: "of a handshake", status: http.StatusBadRequest},
			{name: "of another request", change: func(r *http.Request) { r.Header = http.Header{} }, status: http.StatusBadRequest},
			{name: "of another version", change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, status: http.StatusBadRequest},
			{name: "of a POST", change: func(r *http.Request) { r.Method = http.MethodPost }, status: http.StatusMethodNotAllowed},
			{name: "when the server shuts down", down: true, status: http.StatusServiceUnavailable},
		} {
			t.Run("a body "+body.name+", "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
					upgrader.Logger = testws.Silent
					if tt.down {
						require.NoError(t, upgrader.Shutdown(t.Context()))
					}
					conn := testws.DialHTTP(t, wstest.Serve(t, upgrader))
					request := testws.UpgradeRequest(tt.change)
					var head bytes.Buffer
					require.NoError(t, request.Write(&head))
					sent := strings.ReplaceAll(strings.TrimSuffix(head.String(), "\r\n"), "Content-Length: 0\r\n", "")
					begun := time.Now()
					conn.Send([]byte(sent + body.header + "\r\n" + body.begin))
					response := conn.Answer(request)
					assert.Zero(t, time.Since(begun))
					assert.Equal(t, tt.status, response.Status)
					assert.True(t, response.Closes)
					time.Sleep(time.Second) // net/http lets the client read that before it hangs up
				})
			})
		}
	}
}

// The Connection header has the option even if the client wants the connection closed (RFC
// 9110, 7.8).
func TestUpgradeRequiredIsAConnectionOption(t *testing.T) {
	for header, want := range map[string]string{"": "Upgrade", "keep-alive": "Upgrade", "close": "Upgrade, close"} {
		conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
		conn.Send([]byte("GET / HTTP/1.1\r\nHost: example.com\r\nConnection: " + header + "\r\n\r\n"))
		conn.Hurry()
		head, err := textproto.NewReader(conn.R).ReadLine()
		require.NoError(t, err)
		assert.Equal(t, "HTTP/1.1 426 Upgrade Required", head)
		answer, err := textproto.NewReader(conn.R).ReadMIMEHeader()
		require.NoError(t, err)
		assert.Equal(t, []string{want}, answer["Connection"])
		assert.Equal(t, []string{"websocket"}, answer["Upgrade"])
	}
}

// A HEAD request is answered as a GET is, without the body, and is not a handshake.
func TestRefusedHEAD(t *testing.T) {
	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	response := conn.Do(testws.UpgradeRequest(func(r *http.Request) { r.Method, r.Header = http.MethodHead, http.Header{} }))
	assert.Equal(t, http.StatusUpgradeRequired, response.Status)
	assert.Equal(t, "websocket", response.Header.Get("Upgrade"))
	response = conn.Do(testws.UpgradeRequest(func(r *http.Request) { r.Method = http.MethodHead }))
	assert.Equal(t, http.StatusMethodNotAllowed, response.Status)
}

// Other versions of HTTP have no upgrade to offer, and the response says so: a browser that
// opens a page of a server with TLS uses HTTP/2.
func TestOtherVersionsOfHTTP(t *testing.T) {
	server := httptest.NewUnstartedServer(websocket.New(websocket.ControllerFunc(testws.Echo)))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, body := range []string{"", "a body"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, strings.NewReader(body))
		require.NoError(t, err)
		answer, err := server.Client().Do(request)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		require.Equal(t, 2, answer.ProtoMajor)
		response := testws.ReadReply(t, answer)
		assert.Equal(t, http.StatusBadRequest, response.Status)
		requireReasonTold(t, response, []string{"this is a WebSocket endpoint", "HTTP/2.0"})
		assert.Empty(t, response.Header.Get("Upgrade"), "HTTP/2 has none (RFC 9113, 8.2.2)")
	}

	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	conn.Send([]byte("GET / HTTP/1.0\r\n\r\n"))
	response := conn.Answer(testws.UpgradeRequest(nil))
	assert.Equal(t, http.StatusBadRequest, response.Status)
	requireReasonTold(t, response, []string{"this is a WebSocket endpoint", "HTTP/1.0"})
}
