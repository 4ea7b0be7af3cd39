package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refusals are requests that are refused for various reasons.
var refusals = []struct {
	name    string
	change  func(r *http.Request)
	headers http.Header // that the controller adds to the 101
	opaque  bool        // a middleware hides the HTTP server's writer
	down    bool        // Shutdown was called
	other   bool        // the request is no handshake
	closes  bool        // nothing can follow on the connection
	status  int
	reasons []string    // what the reason mentions
	answer  http.Header // more of its headers
}{
	{
		name: "a page that is looked at in a browser",
		change: func(r *http.Request) {
			r.Header = http.Header{"Accept": {"text/html"}}
		},
		other: true, status: http.StatusUpgradeRequired, reasons: []string{"'upgrade' token", "Connection"},
		answer: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
	},
	{
		name:   "a proxy that passes no upgrade on",
		change: func(r *http.Request) { r.Header.Del("Connection"); r.Header.Del("Upgrade") },
		other:  true, status: http.StatusUpgradeRequired, reasons: []string{"'upgrade' token", "Connection"},
		answer: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
	},
	{
		name:   "upgrade to another protocol",
		change: func(r *http.Request) { r.Header.Set("Upgrade", "h2c, websocket/13") },
		other:  true, status: http.StatusUpgradeRequired, reasons: []string{"'websocket' token", "Upgrade"},
		answer: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
	},
	{
		name:   "a connection option that only begins like the one that is missing",
		change: func(r *http.Request) { r.Header.Set("Connection", "upgrade-later, keep-alive") },
		other:  true, status: http.StatusUpgradeRequired, reasons: []string{"'upgrade' token", "Connection"},
	},
	{
		name: "a form that is posted",
		change: func(r *http.Request) {
			r.Method, r.Header = http.MethodPost, http.Header{}
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a=b")), 3
		},
		other: true, status: http.StatusMethodNotAllowed, reasons: []string{"method is not GET"},
		answer: http.Header{"Allow": {"GET"}}, closes: true,
	},
	{
		name: "a page that is looked at, with a body",
		change: func(r *http.Request) {
			r.Header = http.Header{}
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a=b")), 3
		},
		other: true, status: http.StatusBadRequest, reasons: []string{"'upgrade' token"},
		closes: true,
	},
	{
		name:   "malformed extensions",
		change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Extensions", "permessage-deflate;") },
		status: http.StatusBadRequest, reasons: []string{"malformed", "Sec-WebSocket-Extensions", `"permessage-deflate;"`},
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
		status: http.StatusBadRequest, reasons: []string{"body"}, closes: true,
	},
	{
		name: "a body of unknown length",
		change: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(wstest.Text("hello").Bytes())), -1
		},
		status: http.StatusBadRequest, reasons: []string{"body"}, closes: true,
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
		other:  true, status: http.StatusMethodNotAllowed, reasons: []string{"method is not GET"},
		answer: http.Header{"Allow": {"GET"}},
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
		name:    "a subprotocol of the application's that is none",
		headers: http.Header{"Sec-Websocket-Protocol": {"chat\r\nX-Injected: yes"}},
		status:  http.StatusInternalServerError, reasons: []string{`"chat\r\nX-Injected: yes"`, "no token"},
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
			// answer sends the request, checks what every refusal has in common, and
			// returns the response.
			answer := func(t *testing.T, upgrader *websocket.Upgrader) testws.Reply {
				t.Helper()
				var log testws.Logs
				upgrader.Logger = log.Logger()
				if tt.down {
					require.NoError(t, upgrader.Shutdown(t.Context()))
				}
				conn := testws.DialHTTP(t, wstest.Serve(t, testws.BesidesAlive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if tt.opaque {
						w = testws.OpaqueWriter{ResponseWriter: w}
					}
					upgrader.ServeHTTP(w, r)
				}))))
				response := conn.Do(testws.UpgradeRequest(tt.change))
				require.NotEqual(t, http.StatusSwitchingProtocols, response.Status)
				require.Equal(t, tt.closes, response.Closes)
				if !tt.closes {
					conn.ExpectAlive()
				}
				assert.Equal(t, "13", response.Header.Get("Sec-WebSocket-Version"))
				if tt.status != http.StatusUpgradeRequired {
					assert.Empty(t, response.Header.Get("Upgrade"))
				}
				assert.Empty(t, response.Header.Get("Sec-WebSocket-Accept"))
				for name := range tt.answer {
					assert.Equal(t, tt.answer.Get(name), response.Header.Get(name))
				}
				if !tt.down {
					assert.Empty(t, response.Header.Get("Retry-After"))
				}
				_, told := upgrader.Controller.(websocket.UpgradeErrorHandler)
				requireRefusalLogged(t, &log, told, tt.other, tt.status, tt.reasons)
				assert.Equal(t, websocket.Stats{Refusals: map[int]uint64{tt.status: 1}}, upgrader.Stats())
				testws.RequireIdle(t, upgrader)
				return response
			}

			t.Run("by default the status is explained", func(t *testing.T) {
				response := answer(t, websocket.New(&testws.HeaderController{ControllerFunc: testws.Echo, Headers: headers}))
				assert.Equal(t, tt.status, response.Status)
				assert.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
				if tt.other {
					requireReasonTold(t, response, append(tt.reasons, "this is a WebSocket endpoint"))
					return
				}
				assert.JSONEq(t, fmt.Sprintf(`{"error": %q}`, http.StatusText(tt.status)), response.Body)
			})
			t.Run("with Debug the reason is told", func(t *testing.T) {
				upgrader := websocket.New(&testws.HeaderController{ControllerFunc: testws.Echo, Headers: headers})
				upgrader.Debug = true
				response := answer(t, upgrader)
				assert.Equal(t, tt.status, response.Status)
				assert.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
				requireReasonTold(t, response, tt.reasons)
			})
			t.Run("OnUpgradeError answers instead", func(t *testing.T) {
				var status, calls int
				var reason error
				response := answer(t, websocket.New(&testws.RefusalController{
					HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: headers},
					Refuse: func(w http.ResponseWriter, r *http.Request, s int, err error) {
						status, reason = s, err
						calls++
						w.WriteHeader(http.StatusTeapot)
						_, _ = io.WriteString(w, "no tea for "+r.Host)
					},
				}))
				assert.Equal(t, http.StatusTeapot, response.Status)
				assert.Equal(t, "no tea for example.com", response.Body)
				assert.NotContains(t, response.Header.Get("Content-Type"), "json")
				assert.Equal(t, 1, calls)
				assert.Equal(t, tt.status, status)
				require.Error(t, reason)
				for _, mentioned := range tt.reasons {
					require.ErrorContains(t, reason, mentioned)
				}
				assert.Equal(t, tt.down, errors.Is(reason, websocket.ErrShutdown))
				assert.Equal(t, tt.opaque, errors.Is(reason, http.ErrNotSupported))
				assert.Equal(t, tt.other, errors.Is(reason, websocket.ErrNotHandshake))
			})
		})
	}
}

// requireReasonTold checks that the error in the body is the reason.
func requireReasonTold(t *testing.T, response testws.Reply, mentioned []string) {
	t.Helper()
	var told map[string]string
	require.NoError(t, json.Unmarshal([]byte(response.Body), &told))
	require.Len(t, told, 1)
	for _, m := range mentioned {
		assert.Contains(t, told["error"], m)
	}
}

// requireRefusalLogged checks the log of one refusal. A request that is not a handshake is
// logged for the operator, whose proxy may have dropped the upgrade. So is a mistake of the
// server, unless the application received it.
func requireRefusalLogged(t *testing.T, log *testws.Logs, told, other bool, status int, mentioned []string) {
	t.Helper()
	level := slog.LevelDebug
	switch {
	case other:
	case status == http.StatusInternalServerError && !told:
		level = slog.LevelError
	default:
		assert.Empty(t, log.All(), "a refusal is the client's to know")
		return
	}
	entries := log.All()
	require.Len(t, entries, 1)
	assert.Equal(t, level, entries[0].Level)
	assert.Equal(t, other, errors.Is(entries[0].Err, websocket.ErrNotHandshake))
	for _, m := range mentioned {
		require.ErrorContains(t, entries[0].Err, m)
	}
	assert.EqualValues(t, status, entries[0].Attrs["status"].Int64())
	assert.NotEmpty(t, entries[0].Attrs["remote"].String())
}

func TestHandshakesOfClients(t *testing.T) {
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo)))
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
		{name: "behind a protocol with a version", change: func(r *http.Request) { r.Header.Set("Upgrade", "TLS/1.0, websocket") }},
		{name: "behind RFC 9110's example", change: func(r *http.Request) { r.Header.Set("Upgrade", "HTTP/2.0, SHTTP/1.3, websocket") }},
		{name: "before a protocol with a version", change: func(r *http.Request) { r.Header.Set("Upgrade", "websocket, IRC/6.9") }},
		{name: "behind an empty protocol", change: func(r *http.Request) { r.Header.Set("Upgrade", ",websocket") }},
		{name: "behind an empty connection option", change: func(r *http.Request) { r.Header.Set("Connection", "keep-alive, , Upgrade") }},
		{name: "behind an empty connection option, on a line of its own", change: func(r *http.Request) { r.Header["Connection"] = []string{"", ", ", "Upgrade,"} }},
		{name: "a connection that is not kept", change: func(r *http.Request) { r.Header.Set("Connection", "Upgrade, close") }},
		{name: "no extension at all", change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Extensions", "") }},
		{name: "extensions that nobody knows", change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Extensions", "x-telepathy; range=10") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.True(t, websocket.IsWebSocketUpgrade(testws.UpgradeRequest(tt.change)))
			conn := testws.DialHTTP(t, server)
			response := conn.Do(testws.UpgradeRequest(tt.change))
			require.Equal(t, http.StatusSwitchingProtocols, response.Status)
			assert.Equal(t, "websocket", strings.ToLower(response.Header.Get("Upgrade")))
			assert.Equal(t, "upgrade", strings.ToLower(response.Header.Get("Connection")))
			assert.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", response.Header.Get("Sec-WebSocket-Accept"), "as in RFC 6455, 1.3")
			assert.Empty(t, response.Header.Get("Sec-WebSocket-Extensions"))
			conn.Send(wstest.Text("hello").Bytes())
			conn.ExpectFrames(wstest.Text("hello"))
		})
	}
}

// Invalid subprotocols are the application's mistake, wherever it sets them.
func TestSubprotocolsThatAreNone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		list    []string
		mention string
	}{
		{name: "one with a space", list: []string{"chat v2"}, mention: `"chat v2"`},
		{name: "one with a comma", list: []string{"a", "b,c"}, mention: `"b,c"`},
		{name: "one with a slash", list: []string{"soap/1.1"}, mention: `"soap/1.1"`},
		{name: "one that is not ASCII", list: []string{"smörgås"}, mention: `"smörgås"`},
		{name: "one with a line break", list: []string{"a\r\nb"}, mention: `"a\r\nb"`},
		{name: "an empty one", list: []string{""}, mention: `""`},
		{name: "one that is there twice", list: []string{"a", "b", "a"}, mention: `"a" is listed twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused := func(t *testing.T, upgrader *websocket.Upgrader) {
				t.Helper()
				upgrader.Debug = true
				response := connect(t, testws.BesidesAlive(upgrader))
				require.Equal(t, http.StatusInternalServerError, response.Status)
				var told struct{ Error string }
				require.NoError(t, json.Unmarshal([]byte(response.Body), &told))
				require.Contains(t, told.Error, tt.mention)
			}
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.Settings.Subprotocols = tt.list
			require.ErrorContains(t, upgrader.Validate(), tt.mention)
			require.PanicsWithError(t, upgrader.Validate().Error(), func() { upgrader.RegisterRoutes(http.NewServeMux(), "/ws") })
			refused(t, upgrader)

			refused(t, websocket.New(&listController{
				HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: testws.NoHeaders},
				list:             func(*http.Request) []string { return tt.list },
			}))
		})
	}
	upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
	upgrader.Settings.Subprotocols = []string{"v12.stomp", "graphql-transport-ws", "!#$%&'*+-.^_`|~"}
	require.NoError(t, upgrader.Validate())
	upgrader.CompressionLevel = 10
	require.ErrorContains(t, upgrader.Validate(), "CompressionLevel")
}
