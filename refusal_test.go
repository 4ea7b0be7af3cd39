package websocket_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refusals are requests that are refused, whatever the reason.
var refusals = []struct {
	name    string
	change  func(r *http.Request)
	headers http.Header // that the controller adds to the 101
	opaque  bool        // a middleware hides the HTTP server's writer
	down    bool        // Shutdown was called
	status  int
	reasons []string    // what the reason mentions
	answer  http.Header // more of its headers
}{
	{
		name:   "a page that is looked at in a browser",
		change: func(r *http.Request) { r.Header.Del("Connection"); r.Header.Del("Upgrade") },
		status: http.StatusBadRequest, reasons: []string{"'upgrade' token", "Connection"},
	},
	{
		name:   "upgrade to another protocol",
		change: func(r *http.Request) { r.Header.Set("Upgrade", "h2c") },
		status: http.StatusBadRequest, reasons: []string{"'websocket' token", "Upgrade"},
	},
	{
		name:   "no version",
		change: func(r *http.Request) { r.Header.Del("Sec-Websocket-Version") },
		status: http.StatusBadRequest, reasons: []string{"version"},
	},
	{
		name:   "an older version",
		change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") },
		status: http.StatusBadRequest, reasons: []string{"version"},
	},
	{
		name:   "an older version, too",
		change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8, 13") },
		status: http.StatusBadRequest, reasons: []string{"version", `"8, 13"`},
	},
	{
		name:   "two versions",
		change: func(r *http.Request) { r.Header["Sec-Websocket-Version"] = []string{"13", "8"} },
		status: http.StatusBadRequest, reasons: []string{"version", `"13" "8"`},
	},
	{
		name:   "two keys",
		change: func(r *http.Request) { r.Header.Add("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==") },
		status: http.StatusBadRequest, reasons: []string{"more than one", "Sec-WebSocket-Key"},
	},
	{
		name: "a body, which would be read as frames",
		change: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(wstest.Text("hello").Bytes())), int64(len(wstest.Text("hello").Bytes()))
		},
		status: http.StatusBadRequest, reasons: []string{"body"},
	},
	{
		name: "a body of unknown length",
		change: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(wstest.Text("hello").Bytes())), -1
		},
		status: http.StatusBadRequest, reasons: []string{"body"},
	},
	{
		name:   "no key",
		change: func(r *http.Request) { r.Header.Del("Sec-Websocket-Key") },
		status: http.StatusBadRequest, reasons: []string{"Sec-WebSocket-Key"},
	},
	{
		name:   "a key that is too short",
		change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "c2hvcnQ=") },
		status: http.StatusBadRequest, reasons: []string{"Sec-WebSocket-Key"},
	},
	{
		name:   "a key that is not base64",
		change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "?") },
		status: http.StatusBadRequest, reasons: []string{"Sec-WebSocket-Key"},
	},
	{
		name:   "POST",
		change: func(r *http.Request) { r.Method = http.MethodPost },
		status: http.StatusMethodNotAllowed, reasons: []string{"method is not GET"},
	},
	{
		name:   "origin of another host",
		change: func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") },
		status: http.StatusForbidden, reasons: []string{`"https://evil.test"`, `"example.com"`},
	},
	{
		name:   "two origins",
		change: func(r *http.Request) { r.Header["Origin"] = []string{"http://example.com", "https://evil.test"} },
		status: http.StatusForbidden, reasons: []string{`"http://example.com"`, `"https://evil.test"`, `"example.com"`},
	},
	{
		name:   "the same origin twice",
		change: func(r *http.Request) { r.Header["Origin"] = []string{"http://example.com", "http://example.com"} },
		status: http.StatusForbidden, reasons: []string{`"http://example.com"`},
	},
	{
		name:   "malformed origin",
		change: func(r *http.Request) { r.Header.Set("Origin", "http://exam%zzple.com") },
		status: http.StatusForbidden, reasons: []string{`"http://exam%zzple.com"`, `"example.com"`},
	},
	{
		name:    "extensions that the application sets by itself",
		headers: http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}},
		status:  http.StatusInternalServerError, reasons: []string{"Sec-WebSocket-Extensions"},
	},
	{
		name:    "extensions that the application sets by itself, in RFC 6455's spelling",
		headers: http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}}, // not what http.Header.Set makes of it
		status:  http.StatusInternalServerError, reasons: []string{"Sec-WebSocket-Extensions"},
	},
	{
		name:   "a middleware hides the HTTP server's writer",
		opaque: true,
		status: http.StatusInternalServerError, reasons: []string{"middleware", "Unwrap", http.ErrNotSupported.Error()},
	},
	{
		name:   "the server shuts down",
		down:   true,
		status: http.StatusServiceUnavailable, reasons: []string{websocket.ErrShutdown.Error()},
		answer: http.Header{"Retry-After": {"5"}},
	},
}

func TestRefusals(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			headers := func(*http.Request) http.Header { return tt.headers }
			// answer is the answer to the request, checked for what is the same
			// whoever wrote it.
			answer := func(t *testing.T, upgrader *websocket.Upgrader) reply {
				t.Helper()
				var log logs
				upgrader.Log = log.log
				if tt.down {
					require.NoError(t, upgrader.Shutdown(t.Context()))
				}
				conn := dialHTTP(t, wstest.Serve(t, besidesAlive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if tt.opaque {
						w = opaqueWriter{w}
					}
					upgrader.ServeHTTP(w, r)
				}))))
				response := conn.do(upgradeRequest(tt.change))
				require.NotEqual(t, http.StatusSwitchingProtocols, response.status)
				conn.expectAlive()
				assert.Equal(t, "13", response.header.Get("Sec-WebSocket-Version"))
				assert.Empty(t, response.header.Get("Upgrade"))
				assert.Empty(t, response.header.Get("Sec-WebSocket-Accept"))
				for name := range tt.answer {
					assert.Equal(t, tt.answer.Get(name), response.header.Get(name))
				}
				if !tt.down {
					assert.Empty(t, response.header.Get("Retry-After"))
				}
				assert.Empty(t, log.all(), "a refusal is the client's to know")
				assert.Equal(t, websocket.Stats{Refusals: map[int]uint64{tt.status: 1}}, upgrader.Stats())
				requireIdle(t, upgrader)
				return response
			}

			t.Run("by default the status is explained", func(t *testing.T) {
				response := answer(t, websocket.New(&headerController{ControllerFunc: echo, headers: headers}))
				assert.Equal(t, tt.status, response.status)
				assert.Equal(t, "application/json; charset=utf-8", response.header.Get("Content-Type"))
				assert.JSONEq(t, fmt.Sprintf(`{"error": %q}`, http.StatusText(tt.status)), response.body)
			})
			t.Run("with Debug the reason is told", func(t *testing.T) {
				upgrader := websocket.New(&headerController{ControllerFunc: echo, headers: headers})
				upgrader.Debug = true
				response := answer(t, upgrader)
				assert.Equal(t, tt.status, response.status)
				assert.Equal(t, "application/json; charset=utf-8", response.header.Get("Content-Type"))
				var told map[string]string
				require.NoError(t, json.Unmarshal([]byte(response.body), &told))
				require.Len(t, told, 1)
				for _, mentioned := range tt.reasons {
					assert.Contains(t, told["error"], mentioned)
				}
			})
			t.Run("OnUpgradeError answers instead", func(t *testing.T) {
				var status, calls int
				var reason error
				response := answer(t, websocket.New(&refusalController{
					headerController: headerController{ControllerFunc: echo, headers: headers},
					refuse: func(w http.ResponseWriter, r *http.Request, s int, err error) {
						status, reason = s, err
						calls++
						w.WriteHeader(http.StatusTeapot)
						_, _ = io.WriteString(w, "no tea for "+r.Host)
					},
				}))
				assert.Equal(t, http.StatusTeapot, response.status)
				assert.Equal(t, "no tea for example.com", response.body)
				assert.NotContains(t, response.header.Get("Content-Type"), "json")
				assert.Equal(t, 1, calls)
				assert.Equal(t, tt.status, status)
				require.Error(t, reason)
				for _, mentioned := range tt.reasons {
					require.ErrorContains(t, reason, mentioned)
				}
				assert.Equal(t, tt.down, errors.Is(reason, websocket.ErrShutdown))
				assert.Equal(t, tt.opaque, errors.Is(reason, http.ErrNotSupported))
			})
		})
	}
}

func TestHandshakesOfClients(t *testing.T) {
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo)))
	for _, tt := range []struct {
		name   string
		change func(r *http.Request)
	}{
		{name: "only what is needed"},
		{name: "Firefox: other connection options", change: func(r *http.Request) { r.Header.Set("Connection", "keep-alive, Upgrade") }},
		{name: "tokens in other case", change: func(r *http.Request) {
			r.Header.Set("Connection", "uPGRADE")
			r.Header.Set("Upgrade", "WebSocket")
		}},
		{name: "a header on two lines", change: func(r *http.Request) { r.Header["Connection"] = []string{"keep-alive", "Upgrade"} }},
		{name: "a choice of protocols", change: func(r *http.Request) { r.Header.Set("Upgrade", "h2c, websocket") }},
		{name: "extensions that nobody knows", change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Extensions", "x-telepathy; range=10") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := dialHTTP(t, server)
			response := conn.do(upgradeRequest(tt.change))
			require.Equal(t, http.StatusSwitchingProtocols, response.status)
			assert.Equal(t, "websocket", strings.ToLower(response.header.Get("Upgrade")))
			assert.Equal(t, "upgrade", strings.ToLower(response.header.Get("Connection")))
			assert.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", response.header.Get("Sec-WebSocket-Accept"), "as in RFC 6455, 1.3")
			assert.Empty(t, response.header.Get("Sec-WebSocket-Extensions"))
			conn.send(wstest.Text("hello").Bytes())
			conn.expectFrames(wstest.Text("hello"))
		})
	}
}

// TestHTTP10 is about a version that has no upgrades (RFC 6455, 4.2.1; RFC 9110,
// 7.8: a server must ignore the Upgrade header there).
func TestHTTP10(t *testing.T) {
	conn := dialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo))))
	conn.send(bytes.Replace(upgradeBytes(t), []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1))
	response := conn.answer(upgradeRequest(nil))
	require.Equal(t, http.StatusBadRequest, response.status)
}

// TestMethodNotAllowed is about what the answer 405 must tell (RFC 9110,
// 15.5.6): the methods that are allowed.
func TestMethodNotAllowed(t *testing.T) {
	conn := dialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo))))
	response := conn.do(upgradeRequest(func(r *http.Request) { r.Method = http.MethodPost }))
	require.Equal(t, http.StatusMethodNotAllowed, response.status)
	require.Contains(t, response.header.Get("Allow"), http.MethodGet)
}
