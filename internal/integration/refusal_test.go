package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// refusals are requests that are refused, whatever the reason.
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
			// answer is the answer to the request, checked for what is the same
			// whoever wrote it.
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

// requireReasonTold checks that the body's error is the reason.
func requireReasonTold(t *testing.T, response testws.Reply, mentioned []string) {
	t.Helper()
	var told map[string]string
	require.NoError(t, json.Unmarshal([]byte(response.Body), &told))
	require.Len(t, told, 1)
	for _, m := range mentioned {
		assert.Contains(t, told["error"], m)
	}
}

// requireRefusalLogged checks the log of one refusal: a request that is no handshake is
// told of, for the operator whose proxy made it one, and so is the server's own fault,
// unless the application is told.
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

// TestHTTP10 is about a version that has no upgrades (RFC 6455, 4.2.1; RFC 9110,
// 7.8: a server must ignore the Upgrade header there).
func TestHTTP10(t *testing.T) {
	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	conn.Send(bytes.Replace(testws.UpgradeBytes(t), []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1))
	response := conn.Answer(testws.UpgradeRequest(nil))
	require.Equal(t, http.StatusBadRequest, response.Status)
}

// TestMethodNotAllowed is about what the answer 405 must tell (RFC 9110,
// 15.5.6): the methods that are allowed.
func TestMethodNotAllowed(t *testing.T) {
	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	response := conn.Do(testws.UpgradeRequest(func(r *http.Request) { r.Method = http.MethodPost }))
	require.Equal(t, http.StatusMethodNotAllowed, response.Status)
	require.Contains(t, response.Header.Get("Allow"), http.MethodGet)
}

// TestBodyIsNotWaitedFor is about clients that announce a body and do not send it: they
// get their answer at once, whatever the reason.
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

// TestUpgradeRequiredIsAConnectionOption also where the client wants the connection
// closed (RFC 9110, 7.8).
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

// TestRefusedHEAD is answered as a GET is, but for the body, and is no handshake.
func TestRefusedHEAD(t *testing.T) {
	conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
	response := conn.Do(testws.UpgradeRequest(func(r *http.Request) { r.Method, r.Header = http.MethodHead, http.Header{} }))
	assert.Equal(t, http.StatusUpgradeRequired, response.Status)
	assert.Equal(t, "websocket", response.Header.Get("Upgrade"))
	response = conn.Do(testws.UpgradeRequest(func(r *http.Request) { r.Method = http.MethodHead }))
	assert.Equal(t, http.StatusMethodNotAllowed, response.Status)
}

// TestOtherVersionsOfHTTP have no upgrade to offer either, and are told so: browsers
// that look at a page of a server with TLS speak HTTP/2.
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

// TestSubprotocolsThatAreNone are the application's mistake, wherever it says them.
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
