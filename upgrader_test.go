package websocket_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
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
	var conn net.Conn
	var err error
	switch server := server.(type) {
	case *wstest.Server:
		conn, err = server.DialContext(t.Context(), "", "")
	case *wstest.Listener:
		conn, err = server.DialContext(t.Context())
	case *httptest.Server:
		conn, err = net.Dial("tcp", server.Listener.Addr().String())
	default:
		require.Failf(t, "no server", "%T", server)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &httpConn{Conn: conn, t: t, r: bufio.NewReader(conn)}
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
	return reply{status: response.StatusCode, header: response.Header, body: string(body)}
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

// originController decides about origins.
type originController struct {
	websocket.ControllerFunc
	check func(r *http.Request) bool
}

func (ctrl *originController) CheckOrigin(r *http.Request) bool { return ctrl.check(r) }

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

func TestMounting(t *testing.T) {
	mounts := []struct {
		name    string
		handler func() http.Handler
	}{
		{name: "on a ServeMux", handler: func() http.Handler {
			mux := http.NewServeMux()
			websocket.New(websocket.ControllerFunc(echo)).RegisterRoutes(mux, "/ws")
			return mux
		}},
		{name: "on a ServeMux, under a host", handler: func() http.Handler {
			mux := http.NewServeMux()
			websocket.New(websocket.ControllerFunc(echo)).RegisterRoutes(mux, "example.com/ws")
			return mux
		}},
		{name: "as a handler", handler: func() http.Handler {
			return websocket.New(websocket.ControllerFunc(echo))
		}},
		{name: "as a literal", handler: func() http.Handler {
			return &websocket.Upgrader{Controller: websocket.ControllerFunc(echo)}
		}},
		{name: "as a controller with a struct", handler: func() http.Handler {
			return websocket.New(&controller{serve: echo})
		}},
	}
	for _, tt := range mounts {
		t.Run(tt.name, func(t *testing.T) {
			onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				client := wstest.Dial(t, serve(tt.handler()), "/ws", &wstest.Options{Header: http.Header{"Host": {"example.com"}}})
				require.Equal(t, http.StatusSwitchingProtocols, client.Response.StatusCode)
				client.WriteText("hello, 世界")
				client.ExpectText("hello, 世界")
				client.WriteBinary(bytes.Repeat([]byte{0, 1, 0xfe, 0xff}, 50_000))
				client.ExpectBinary(bytes.Repeat([]byte{0, 1, 0xfe, 0xff}, 50_000))
				client.Close(websocket.CloseNormalClosure, "bye")
			}, slices.Sorted(maps.Keys(networks))...)
		})
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	upgrader := &websocket.Upgrader{Controller: websocket.ControllerFunc(echo)}
	server := httptest.NewServer(upgrader)
	defer server.Close()
	roundTrip := func(message string) (string, error) {
		client, response, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
		if err != nil {
			return "", err
		}
		defer func() { _ = errors.Join(response.Body.Close(), client.Close()) }()
		if err := client.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			return "", err
		}
		_, answer, err := client.ReadMessage()
		return string(answer), err
	}

	const clients = 20
	var answers [clients]string
	var errs [clients]error
	var working sync.WaitGroup
	for i := range clients {
		working.Go(func() { answers[i], errs[i] = roundTrip(fmt.Sprint("hello from ", i)) })
	}
	working.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	for i, answer := range answers {
		assert.Equal(t, fmt.Sprint("hello from ", i), answer)
	}
	assert.EqualValues(t, clients, upgrader.Stats().Upgrades)
}

func TestServeSeesTheRequest(t *testing.T) {
	onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		mux := http.NewServeMux()
		websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			cookie, err := r.Cookie("session")
			if err != nil {
				return err
			}
			return conn.WriteJSON([]string{r.PathValue("room"), r.URL.Query().Get("as"), r.Header.Get("X-Trace"), cookie.Value, r.Pattern, r.Method})
		})).RegisterRoutes(mux, "/rooms/{room}/ws")

		client := wstest.Dial(t, serve(mux), "/rooms/caf%C3%A9/ws?as=ada%20l", &wstest.Options{
			Header: http.Header{"X-Trace": {"0815"}, "Cookie": {"session=s3cr3t"}},
		})
		client.ExpectText(`["café","ada l","0815","s3cr3t","GET /rooms/{room}/ws","GET"]` + "\n")
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	}, slices.Sorted(maps.Keys(networks))...)
}

type userKey struct{}

func TestHandlerReturnsWhileServeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ofRequest context.Context
		returned := make(chan struct{})
		causes := make(chan error, 1)
		upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			<-returned
			<-ofRequest.Done() // the HTTP server has done with the request
			ctx := r.Context()
			found, ok := websocket.FromContext(ctx)
			assert.True(t, ok)
			assert.Same(t, conn, found)
			assert.Equal(t, conn.Context(), ctx)
			select {
			case <-ctx.Done():
				assert.Fail(t, "the connection lives on")
			default:
			}
			_, bounded := ctx.Deadline()
			assert.False(t, bounded, "the deadline was the handler's")
			assert.NotNil(t, ctx.Value(http.ServerContextKey), "what the server put there is still there")
			user, _ := ctx.Value(userKey{}).(string)
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hello, "+user)); err != nil {
				return err
			}
			_, _, err := conn.ReadMessage()
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return err
		}))
		middleware := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ofRequest = r.Context()
			_, ok := websocket.FromContext(ofRequest)
			assert.False(t, ok, "there is no connection yet")
			ctx, cancel := context.WithTimeout(context.WithValue(ofRequest, userKey{}, "Ada"), time.Second)
			defer close(returned)
			defer cancel()
			upgrader.ServeHTTP(w, r.WithContext(ctx))
		})

		client := wstest.Dial(t, middleware, "/", nil)
		require.Equal(t, http.StatusSwitchingProtocols, client.Response.StatusCode)
		client.ExpectText("hello, Ada")
		client.Close(websocket.CloseGoingAway, "tab closed")
		var closed *websocket.CloseError
		require.ErrorAs(t, <-causes, &closed)
		require.Equal(t, websocket.CloseError{Code: websocket.CloseGoingAway, Text: "tab closed"}, *closed)
	})
}

// registrer mounts itself elsewhere, behind a middleware.
type registrer struct {
	websocket.ControllerFunc
	mux     *http.ServeMux
	pattern string
	calls   int
}

func (ctrl *registrer) RegisterRoute(mux *http.ServeMux, pattern string, handler http.Handler) {
	ctrl.mux, ctrl.pattern = mux, pattern
	ctrl.calls++
	mux.HandleFunc("GET /v2"+pattern, func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "Ada")))
	})
}

func TestRegistrer(t *testing.T) {
	ctrl := &registrer{ControllerFunc: func(conn *websocket.Conn, r *http.Request) error {
		return conn.WriteJSON(r.Context().Value(userKey{}))
	}}
	mux := http.NewServeMux()
	websocket.New(ctrl).RegisterRoutes(mux, "/ws")
	require.Equal(t, 1, ctrl.calls)
	require.Same(t, mux, ctrl.mux)
	require.Equal(t, "/ws", ctrl.pattern)

	server := wstest.Serve(t, mux)
	client := wstest.Dial(t, server, "/v2/ws", nil)
	client.ExpectText("\"Ada\"\n")
	require.Equal(t, http.StatusNotFound, dialRefused(t, server, "/ws", nil).status, "the route is the controller's own alone")
}

func TestPatternHasNoMethod(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pattern string
	}{
		{name: "a method", pattern: "GET /x"},
		{name: "a method and two spaces", pattern: "GET  /x"},
		{name: "a method and a tab", pattern: "GET\t/x"},
		{name: "another method", pattern: "POST /x"},
		{name: "a method and a host", pattern: "GET example.com/x"},
		{name: "nothing at all", pattern: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Panics(t, func() {
				websocket.New(websocket.ControllerFunc(echo)).RegisterRoutes(http.NewServeMux(), tt.pattern)
			})
		})
	}
	t.Run("a Registrer is not even asked", func(t *testing.T) {
		ctrl := &registrer{}
		require.Panics(t, func() { websocket.New(ctrl).RegisterRoutes(http.NewServeMux(), "GET /x") })
		require.Zero(t, ctrl.calls)
	})
}

func TestOtherMethodsOnTheRoute(t *testing.T) {
	mux := besidesAlive(http.NotFoundHandler())
	websocket.New(websocket.ControllerFunc(echo)).RegisterRoutes(mux, "/route")
	conn := dialHTTP(t, wstest.Serve(t, mux))
	request := func(method string, upgrade bool) *http.Request {
		return upgradeRequest(func(r *http.Request) {
			r.URL.Path, r.Method = "/route", method
			if !upgrade {
				r.Header.Del("Connection")
			}
		})
	}
	for _, tt := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{name: "POST with an upgrade", request: request(http.MethodPost, true), status: http.StatusMethodNotAllowed},
		{name: "POST without", request: request(http.MethodPost, false), status: http.StatusMethodNotAllowed},
		{name: "HEAD with an upgrade", request: request(http.MethodHead, true), status: http.StatusMethodNotAllowed},
		{name: "HEAD without", request: request(http.MethodHead, false), status: http.StatusBadRequest},
		{name: "GET without", request: request(http.MethodGet, false), status: http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response := conn.do(tt.request)
			require.Equal(t, tt.status, response.status)
			conn.expectAlive()
		})
	}
	response := conn.do(request(http.MethodGet, true))
	require.Equal(t, http.StatusSwitchingProtocols, response.status)
}

// opaqueWriter is what a careless middleware makes of a response writer.
type opaqueWriter struct{ http.ResponseWriter }

// unwrappingWriter is what a careful one does.
type unwrappingWriter struct{ http.ResponseWriter }

func (w unwrappingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

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
				assert.Equal(t, websocket.Stats{}, upgrader.Stats())
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

func TestSameOrigin(t *testing.T) {
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo)))
	for _, tt := range []struct {
		name     string
		origin   []string
		host     string
		accepted bool
	}{
		{name: "no origin: no browser", host: "example.com", accepted: true},
		{name: "the host itself", origin: []string{"https://example.com"}, host: "example.com", accepted: true},
		{name: "the host itself, with a port", origin: []string{"http://example.com:8080"}, host: "example.com:8080", accepted: true},
		{name: "the scheme of an application", origin: []string{"app://example.com"}, host: "example.com", accepted: true},
		{name: "an address of IPv6", origin: []string{"http://[::1]:8080"}, host: "[::1]:8080", accepted: true},
		{name: "the origin in capitals", origin: []string{"HTTPS://EXAMPLE.COM"}, host: "example.com", accepted: true},
		{name: "the host in capitals", origin: []string{"https://example.com"}, host: "Example.Com", accepted: true},
		{name: "the host names the default port of https", origin: []string{"https://example.com"}, host: "example.com:443", accepted: true},
		{name: "the host names the default port of http", origin: []string{"http://example.com"}, host: "example.com:80", accepted: true},
		{name: "the origin names the default port of https", origin: []string{"https://example.com:443"}, host: "example.com", accepted: true},
		{name: "the origin names the default port of http", origin: []string{"http://example.com:80"}, host: "example.com", accepted: true},
		{name: "an address of IPv6 and a default port", origin: []string{"http://[::1]"}, host: "[::1]:80", accepted: true},

		{name: "the default port of the other scheme", origin: []string{"http://example.com"}, host: "example.com:443"},
		{name: "the default port of the other scheme, the other way round", origin: []string{"https://example.com"}, host: "example.com:80"},
		{name: "another port", origin: []string{"https://example.com:8443"}, host: "example.com"},
		{name: "another port of the host", origin: []string{"https://example.com"}, host: "example.com:8443"},
		{name: "another host", origin: []string{"https://evil.test"}, host: "example.com"},
		{name: "a subdomain", origin: []string{"https://www.example.com"}, host: "example.com"},
		{name: "a host that ends with ours", origin: []string{"https://notexample.com"}, host: "example.com"},
		{name: "a host that begins with ours", origin: []string{"https://example.com.evil.test"}, host: "example.com"},
		{name: "our host as the user of another", origin: []string{"https://example.com@evil.test"}, host: "example.com"},
		{name: "an IPv6 address that ends like a port", origin: []string{"http://[1::80]"}, host: "[1:]"},
		{name: "a page without an origin", origin: []string{"null"}, host: "example.com"},
		{name: "a file", origin: []string{"file://"}, host: "example.com"},
		{name: "a host without a scheme", origin: []string{"example.com"}, host: "example.com"},
		{name: "an empty origin", origin: []string{""}, host: "example.com"},
		{name: "two origins", origin: []string{"https://example.com", "https://evil.test"}, host: "example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response := dialHTTP(t, server).do(upgradeRequest(func(r *http.Request) {
				r.Host = tt.host
				if tt.origin != nil {
					r.Header["Origin"] = tt.origin
				}
			}))
			want := http.StatusForbidden
			if tt.accepted {
				want = http.StatusSwitchingProtocols
			}
			require.Equal(t, want, response.status)
		})
	}
}

// TestEmptyHost is about a request without a host, which HTTP/1.1 allows: an
// origin without one is not the same.
func TestEmptyHost(t *testing.T) {
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo)))
	for _, origin := range []string{"null", "file://", ""} {
		conn := dialHTTP(t, server)
		request := bytes.Replace(upgradeBytes(t), []byte("Host: example.com\r\n"), []byte("Host:\r\nOrigin: "+origin+"\r\n"), 1)
		require.Contains(t, string(request), "\r\nHost:\r\n")
		conn.send(request)
		require.Equal(t, http.StatusForbidden, conn.answer(upgradeRequest(nil)).status, "origin %q", origin)
	}
}

func TestOriginCheckerWins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		allow  bool
		origin []string
		status int
	}{
		{name: "it lets another host in", allow: true, origin: []string{"https://partner.test"}, status: http.StatusSwitchingProtocols},
		{name: "it lets a malformed origin in", allow: true, origin: []string{"::"}, status: http.StatusSwitchingProtocols},
		{name: "it keeps the same host out", origin: []string{"http://example.com"}, status: http.StatusForbidden},
		{name: "it keeps clients without an origin out", status: http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&originController{ControllerFunc: echo, check: func(r *http.Request) bool {
				assert.Equal(t, tt.origin, r.Header["Origin"])
				return tt.allow
			}})
			upgrader.Debug = true
			response := dialHTTP(t, wstest.Serve(t, upgrader)).do(upgradeRequest(func(r *http.Request) {
				if tt.origin != nil {
					r.Header["Origin"] = tt.origin
				}
			}))
			require.Equal(t, tt.status, response.status)
			if !tt.allow {
				for _, origin := range tt.origin {
					require.Contains(t, response.body, origin)
				}
			}
		})
	}
}

func TestSettingsThatAreIgnored(t *testing.T) {
	upgrader := websocket.New(websocket.ControllerFunc(echo))
	upgrader.Settings.CheckOrigin = func(*http.Request) bool { return true }
	upgrader.Settings.Error = func(w http.ResponseWriter, _ *http.Request, _ int, _ error) { w.WriteHeader(http.StatusTeapot) }
	response := dialHTTP(t, wstest.Serve(t, upgrader)).do(upgradeRequest(func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.test")
	}))
	require.Equal(t, http.StatusForbidden, response.status)
	require.JSONEq(t, `{"error": "Forbidden"}`, response.body)
	require.NotNil(t, upgrader.Settings.CheckOrigin, "the application's settings are left as they are")
	require.NotNil(t, upgrader.Settings.Error)
	require.Nil(t, upgrader.Settings.WriteBufferPool)
	require.Zero(t, upgrader.Settings.HandshakeTimeout)
}

func TestUpgradeHeaders(t *testing.T) {
	added := http.Header{"Set-Cookie": {"a=1; HttpOnly", "b=2"}, "X-Served-By": {"me"}}
	upgrader := websocket.New(&headerController{ControllerFunc: echo, headers: func(r *http.Request) http.Header {
		assert.Equal(t, "/ws", r.URL.Path)
		return added
	}})
	client := wstest.Dial(t, upgrader, "/ws", nil)
	assert.Equal(t, added.Values("Set-Cookie"), client.Response.Header.Values("Set-Cookie"))
	assert.Equal(t, "me", client.Response.Header.Get("X-Served-By"))
	assert.Len(t, added, 2, "the application's header is left as it is")
	client.WriteText("hello")
	client.ExpectText("hello")
}

func TestSubprotocols(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ours    []string
		headers http.Header
		theirs  []string
		want    string
	}{
		{name: "the one both know", ours: []string{"chat.v2", "chat.v1"}, theirs: []string{"chat.v1"}, want: "chat.v1"},
		{name: "the server's choice of two", ours: []string{"chat.v2", "chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{name: "none in common", ours: []string{"chat.v2"}, theirs: []string{"mqtt"}},
		{name: "none offered", ours: []string{"chat.v2"}},
		{name: "none known", theirs: []string{"mqtt"}},
		{name: "the controller's choice", headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}, want: "mqtt"},
		{
			name:    "the controller's choice, in RFC 6455's spelling",
			headers: http.Header{"Sec-WebSocket-Protocol": {"mqtt"}}, // not what http.Header.Set makes of it
			theirs:  []string{"mqtt"},
			want:    "mqtt",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&headerController{
				ControllerFunc: func(conn *websocket.Conn, _ *http.Request) error {
					return conn.WriteMessage(websocket.TextMessage, []byte(conn.Subprotocol()))
				},
				headers: func(*http.Request) http.Header { return tt.headers },
			})
			upgrader.Settings.Subprotocols = tt.ours
			client := wstest.Dial(t, upgrader, "/", &wstest.Options{Subprotocols: tt.theirs})
			client.ExpectText(tt.want)
			require.Equal(t, tt.want, client.Subprotocol())
			require.Equal(t, tt.want, client.Response.Header.Get("Sec-WebSocket-Protocol"))
		})
	}
}

func TestCompression(t *testing.T) {
	message := strings.Repeat("compress me ", 1000)
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, tt := range []struct {
		name         string
		ours, theirs bool
		want         string
	}{
		{name: "both want it", ours: true, theirs: true, want: agreed},
		{name: "the client doesn't", ours: true},
		{name: "the server doesn't", theirs: true},
		{name: "nobody does"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				upgrader := websocket.New(websocket.ControllerFunc(echo))
				upgrader.Settings.EnableCompression = tt.ours
				server := serve(upgrader)
				options := &wstest.Options{Compression: tt.theirs}

				raw := wstest.DialRaw(t, server, "/", options)
				require.Equal(t, tt.want, raw.Response.Header.Get("Sec-WebSocket-Extensions"))
				raw.Send(wstest.Text(message))
				frame, err := raw.Receive()
				require.NoError(t, err)
				if tt.want == "" {
					require.Zero(t, frame.RSV)
					require.Equal(t, message, string(frame.Payload))
				} else {
					require.Equal(t, byte(4), frame.RSV)
					require.Less(t, len(frame.Payload), len(message)/10)
					tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
					inflated, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(frame.Payload), tail)))
					require.NoError(t, err)
					require.Equal(t, message, string(inflated))
				}

				client := wstest.Dial(t, server, "/", options)
				for range 3 {
					client.WriteText(message)
					client.ExpectText(message)
				}
				client.Close(websocket.CloseNormalClosure, "")
			}, "in memory", "over TCP")
		})
	}
}

// countingPool is a BufferPool of the application's.
type countingPool struct {
	pool       sync.Pool
	gets, puts atomic.Int64
}

func (p *countingPool) Get() any {
	p.gets.Add(1)
	return p.pool.Get()
}

func (p *countingPool) Put(v any) {
	p.puts.Add(1)
	p.pool.Put(v)
}

// stream sends each message back in small pieces.
func stream(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, r, err := conn.NextReader()
		if err != nil {
			return err
		}
		w, err := conn.NextWriter(messageType)
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 10)); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

func TestWriteBufferPool(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve websocket.ControllerFunc
	}{
		{name: "whole messages", serve: echo},
		{name: "streamed messages", serve: stream},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pool := &countingPool{}
			upgrader := websocket.New(tt.serve)
			upgrader.Settings.WriteBufferPool = pool
			client := wstest.Dial(t, upgrader, "/", nil)
			for range 3 {
				client.WriteText("hello, pool")
				client.ExpectText("hello, pool")
			}
			client.Close(websocket.CloseNormalClosure, "")
			require.NoError(t, upgrader.Shutdown(t.Context()))
			require.GreaterOrEqual(t, pool.gets.Load(), int64(3))
			require.Equal(t, pool.gets.Load(), pool.puts.Load(), "each buffer is given back")
			require.Same(t, pool, upgrader.Settings.WriteBufferPool)
		})
	}
}

func TestTinyBuffers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		serve       websocket.ControllerFunc
		size        int
		compression bool
	}{
		{name: "whole messages", serve: echo, size: 300_000},
		{name: "whole messages, compressed", serve: echo, size: 300_000, compression: true},
		{name: "streamed messages", serve: stream, size: 5000},
		{name: "streamed messages, compressed", serve: stream, size: 5000, compression: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				upgrader := websocket.New(tt.serve)
				upgrader.Settings = ws.Upgrader{ReadBufferSize: 1, WriteBufferSize: 1, EnableCompression: tt.compression}
				client := wstest.Dial(t, serve(upgrader), "/", &wstest.Options{Compression: tt.compression})
				message := make([]byte, tt.size)
				for i := range message {
					message[i] = byte(i * i >> 3)
				}
				for range 2 {
					client.WriteBinary(message)
					client.ExpectBinary(message)
				}
				client.WriteText("")
				client.ExpectText("")
				client.Close(websocket.CloseNormalClosure, "")
			}, "in memory", "over TCP")
		})
	}
}

func TestWriterOfAMiddleware(t *testing.T) {
	onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		upgrader := websocket.New(websocket.ControllerFunc(echo))
		client := wstest.Dial(t, serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			upgrader.ServeHTTP(unwrappingWriter{unwrappingWriter{w}}, r)
		})), "/", nil)
		client.WriteText("hello")
		client.ExpectText("hello")
	}, "in memory", "over TCP")
}

func TestHTTP2(t *testing.T) {
	upgrader := websocket.New(websocket.ControllerFunc(echo))
	upgrader.Debug = true
	mux := http.NewServeMux()
	mux.Handle("/plain", upgrader)
	mux.HandleFunc("/translated", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Connection", "Upgrade") // which HTTP/2 does not have
		r.Header.Set("Upgrade", "websocket")
		upgrader.ServeHTTP(w, r)
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	for _, tt := range []struct {
		name, path string
		status     int
		want       string
	}{
		{name: "as a client sends it", path: "/plain", status: http.StatusBadRequest, want: "the request is HTTP/2.0"},
		{name: "with the headers of HTTP/1.1", path: "/translated", status: http.StatusBadRequest, want: "the request is HTTP/2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+tt.path, http.NoBody)
			require.NoError(t, err)
			request.Header.Set("Sec-Websocket-Version", "13")
			request.Header.Set("Sec-Websocket-Key", base64.StdEncoding.EncodeToString(make([]byte, 16)))
			response, err := server.Client().Do(request)
			require.NoError(t, err)
			require.Equal(t, 2, response.ProtoMajor)
			told := readReply(t, response)
			assert.Equal(t, tt.status, told.status)
			assert.Contains(t, told.body, tt.want)
		})
	}
	requireIdle(t, upgrader)
}

func TestPanicsBeforeTheUpgrade(t *testing.T) {
	boom := func() { panic("boom") }
	for _, tt := range []struct {
		name   string
		ctrl   websocket.Controller
		change func(r *http.Request)
		down   bool
	}{
		{
			name: "CheckOrigin",
			ctrl: &originController{ControllerFunc: echo, check: func(*http.Request) bool { boom(); return true }},
		},
		{
			name: "UpgradeHeaders",
			ctrl: &headerController{ControllerFunc: echo, headers: func(*http.Request) http.Header { boom(); return nil }},
		},
		{
			name: "OnUpgradeError",
			ctrl: &refusalController{
				headerController: headerController{ControllerFunc: echo, headers: noHeaders},
				refuse:           func(http.ResponseWriter, *http.Request, int, error) { boom() },
			},
			change: func(r *http.Request) { r.Header.Del("Upgrade") },
		},
		{
			name: "OnUpgradeError, while the server shuts down",
			ctrl: &refusalController{
				headerController: headerController{ControllerFunc: echo, headers: noHeaders},
				refuse:           func(http.ResponseWriter, *http.Request, int, error) { boom() },
			},
			down: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(tt.ctrl)
			if tt.down {
				requireIdle(t, upgrader)
			}
			conn := dialHTTP(t, wstest.Serve(t, besidesAlive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { http.Error(w, fmt.Sprint("recovered: ", recover()), http.StatusInternalServerError) }()
				upgrader.ServeHTTP(w, r)
			}))))
			response := conn.do(upgradeRequest(tt.change))
			require.Equal(t, http.StatusInternalServerError, response.status)
			require.Equal(t, "recovered: boom\n", response.body)
			conn.expectAlive()
			require.Equal(t, websocket.Stats{}, upgrader.Stats())
			requireIdle(t, upgrader)
		})
	}
}

func TestEarlyData(t *testing.T) {
	var many []wstest.Frame
	for i := range 1000 {
		many = append(many, wstest.Text(fmt.Sprint("message ", i)))
	}
	for _, tt := range []struct {
		name   string
		frames []wstest.Frame
	}{
		{name: "one frame", frames: []wstest.Frame{wstest.Text("hello")}},
		{name: "two frames", frames: []wstest.Frame{wstest.Text("hello"), wstest.Text("again")}},
		{name: "more than the HTTP server's buffer", frames: many},
		{name: "one frame larger than the HTTP server's buffer", frames: []wstest.Frame{wstest.Binary(bytes.Repeat([]byte("x"), 50_000))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				conn := dialHTTP(t, serve(websocket.New(websocket.ControllerFunc(echo))))
				all := upgradeBytes(t)
				for _, frame := range tt.frames {
					all = frame.AppendTo(all)
				}
				conn.send(all)
				response := conn.answer(upgradeRequest(nil))
				require.Equal(t, http.StatusSwitchingProtocols, response.status)
				conn.expectFrames(tt.frames...)

				conn.send(wstest.Close(websocket.CloseNormalClosure, "").Bytes())
				conn.expectFrames(wstest.Close(websocket.CloseNormalClosure, ""))
				_, err := conn.r.ReadByte()
				require.ErrorIs(t, err, io.EOF)
			}, "in memory", "over TCP")
		})
	}
	t.Run("wherever the HTTP server's buffer ends", func(t *testing.T) {
		const buffer = 4096 // bytes of the server's reader
		server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo)))
		plain := len(upgradeBytes(t))
		for size := buffer - 20; size <= buffer+5; size++ {
			var all bytes.Buffer
			require.NoError(t, upgradeRequest(func(r *http.Request) {
				r.Header.Set("X-Pad", strings.Repeat("x", size-plain-len("X-Pad: \r\n")))
			}).Write(&all))
			require.Equal(t, size, all.Len())
			all.Write(wstest.Text("hello, early bird").Bytes())
			conn := dialHTTP(t, server)
			conn.send(all.Bytes())
			response := conn.answer(upgradeRequest(nil))
			require.Equal(t, http.StatusSwitchingProtocols, response.status, "%d bytes", size)
			conn.expectFrames(wstest.Text("hello, early bird"))
		}
	})
	t.Run("a close frame and nothing else", func(t *testing.T) {
		conn := dialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(echo))))
		conn.send(append(upgradeBytes(t), wstest.Close(websocket.CloseGoingAway, "gone").Bytes()...))
		response := conn.answer(upgradeRequest(nil))
		require.Equal(t, http.StatusSwitchingProtocols, response.status)
		conn.expectFrames(wstest.Close(websocket.CloseGoingAway, ""))
	})
	t.Run("after a request that is refused: the next request", func(t *testing.T) {
		conn := dialHTTP(t, wstest.Serve(t, besidesAlive(websocket.New(websocket.ControllerFunc(echo)))))
		var all bytes.Buffer
		require.NoError(t, upgradeRequest(func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") }).Write(&all))
		require.NoError(t, upgradeRequest(nil).Write(&all))
		all.Write(wstest.Text("hello").Bytes())
		conn.send(all.Bytes())
		response := conn.answer(upgradeRequest(nil))
		require.Equal(t, http.StatusForbidden, response.status)
		response = conn.answer(upgradeRequest(nil))
		require.Equal(t, http.StatusSwitchingProtocols, response.status)
		conn.expectFrames(wstest.Text("hello"))
	})
}

func TestHandshakeByteByByte(t *testing.T) {
	onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		conn := dialHTTP(t, serve(websocket.New(websocket.ControllerFunc(echo))))
		for _, b := range append(upgradeBytes(t), wstest.Text("hello").Bytes()...) {
			conn.send([]byte{b})
		}
		response := conn.answer(upgradeRequest(nil))
		require.Equal(t, http.StatusSwitchingProtocols, response.status)
		conn.expectFrames(wstest.Text("hello"))
	}, "in memory", "over TCP")
}

// TestTimeoutsOfTheServer is about deadlines that the HTTP server has set when
// the connection is taken over.
func TestTimeoutsOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := wstest.Listen()
		server := &http.Server{
			Handler:     websocket.New(websocket.ControllerFunc(echo)),
			ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, IdleTimeout: time.Second,
		}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })

		conn := dialHTTP(t, listener)
		require.Equal(t, http.StatusSwitchingProtocols, conn.do(upgradeRequest(nil)).status)
		for range 3 {
			time.Sleep(20 * time.Second)
			conn.send(wstest.Text("still there?").Bytes())
			conn.expectFrames(wstest.Text("still there?"))
		}
	})
}

// unwritableConn is a connection whose peer is gone.
type unwritableConn struct {
	net.Conn
	err error
}

func (c *unwritableConn) Write([]byte) (int, error) { return 0, c.err }

// hijackedWriter is a response writer that gives its connection away.
type hijackedWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w *hijackedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

func TestAnswerThatCannotBeWritten(t *testing.T) {
	var log logs
	endpoint := websocket.NewEndpoint(websocket.Options{Log: log.log})
	client, server := wstest.Pipe()
	gone := errors.New("the peer is gone")
	recorder := httptest.NewRecorder()

	conn, err := endpoint.Accept(&hijackedWriter{recorder, &unwritableConn{server, gone}}, upgradeRequest(nil), websocket.Handshake{
		Refuse: func(int, error) { assert.Fail(t, "there is no HTTP left to refuse with") },
	})
	require.ErrorIs(t, err, gone)
	require.Nil(t, conn)
	require.False(t, recorder.Flushed)
	require.Empty(t, recorder.Body.String())
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the socket is closed")
	require.Len(t, log.all(), 1)
	assert.Equal(t, slog.LevelDebug, log.all()[0].level)
	require.ErrorIs(t, log.all()[0].err, gone)
	assert.Equal(t, "192.0.2.1:1234", log.all()[0].attrs["remote"].String())
	require.Equal(t, websocket.Stats{}, endpoint.Stats())
	requireIdle(t, endpoint)
}

func TestClientHangsUpBeforeTheUpgrade(t *testing.T) {
	onNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		var log logs
		upgrader := websocket.New(&refusalController{
			headerController: headerController{headers: noHeaders, ControllerFunc: func(*websocket.Conn, *http.Request) error {
				assert.Fail(t, "nobody is there to be served")
				return nil
			}},
			refuse: func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
				assert.Fail(t, "refused", "%d: %v", status, reason)
			},
		})
		upgrader.Log = log.log
		arrived, returned := make(chan struct{}), make(chan struct{})
		conn := dialHTTP(t, serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			close(arrived)
			<-r.Context().Done() // the HTTP server has noticed
			upgrader.ServeHTTP(w, r)
		})))
		conn.send(upgradeBytes(t))
		<-arrived
		if tcp, ok := conn.Conn.(*net.TCPConn); ok {
			require.NoError(t, tcp.SetLinger(0)) // a reset
			require.NoError(t, tcp.Close())
		} else {
			wstest.Reset(conn.Conn)
		}
		<-returned
		require.Len(t, log.all(), 1)
		assert.Equal(t, slog.LevelDebug, log.all()[0].level)
		require.Equal(t, websocket.Stats{}, upgrader.Stats())
		requireIdle(t, upgrader)
	}, "in memory", "over TCP")
}

func TestHandshakeTimeout(t *testing.T) {
	for _, tt := range []struct {
		name                           string
		handshakeTimeout, writeTimeout time.Duration
		want                           time.Duration
	}{
		{name: "as it is set", handshakeTimeout: 3 * time.Second, want: 3 * time.Second},
		{name: "longer than a write", handshakeTimeout: time.Minute, writeTimeout: time.Second, want: time.Minute},
		{name: "as long as a write", writeTimeout: 7 * time.Second, want: 7 * time.Second},
		{name: "by default", want: 10 * time.Second},
		{name: "switched off", handshakeTimeout: -1, want: time.Hour},
		{name: "switched off for all writes", writeTimeout: -1, want: time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := make(chan error, 1)
				upgrader := websocket.New(&headerController{ControllerFunc: echo, headers: func(*http.Request) http.Header {
					return http.Header{"X-Long": {strings.Repeat("x", 2*wstest.PipeBuffer)}}
				}})
				upgrader.Settings.HandshakeTimeout = tt.handshakeTimeout
				upgrader.WriteTimeout = tt.writeTimeout
				upgrader.Log = func(_ context.Context, _ slog.Level, err error, _ ...slog.Attr) { failed <- err }
				conn := dialHTTP(t, wstest.Serve(t, upgrader))
				start := time.Now()
				conn.send(upgradeBytes(t)) // and nothing is read
				hangUp := time.AfterFunc(time.Hour, func() { _ = conn.Close() })
				defer hangUp.Stop()

				err := <-failed
				require.Equal(t, tt.want, time.Since(start))
				if tt.want < time.Hour {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					_, err = io.Copy(io.Discard, conn)
					require.NoError(t, err, "the socket is closed")
				}
				synctest.Wait()
				requireIdle(t, upgrader)
			})
		})
	}
}

// TestHandshakeTimeoutEnds is about the deadline of the 101: it is not one of
// the connection.
func TestHandshakeTimeoutEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upgrader := websocket.New(websocket.ControllerFunc(echo))
		upgrader.Settings.HandshakeTimeout = time.Second
		client := wstest.Dial(t, upgrader, "/", nil)
		time.Sleep(20 * time.Second)
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "")
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upgrader := websocket.New(websocket.ControllerFunc(echo))
		server := wstest.Serve(t, upgrader)
		require.Equal(t, websocket.Stats{}, upgrader.Stats())

		first, second := wstest.Dial(t, server, "/", nil), wstest.Dial(t, server, "/", nil)
		require.Equal(t, websocket.Stats{Open: 2, Upgrades: 2}, upgrader.Stats())
		dialRefused(t, server, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}})
		require.Equal(t, websocket.Stats{Open: 2, Upgrades: 2}, upgrader.Stats(), "what is refused does not count")

		first.Close(websocket.CloseNormalClosure, "")
		synctest.Wait()
		require.Equal(t, websocket.Stats{Open: 1, Upgrades: 2}, upgrader.Stats())

		require.NoError(t, second.Conn.Close())
		synctest.Wait()
		require.Equal(t, websocket.Stats{Open: 0, Upgrades: 2}, upgrader.Stats())

		wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
		require.NoError(t, upgrader.Shutdown(t.Context()))
		require.Equal(t, websocket.Stats{Open: 0, Upgrades: 3}, upgrader.Stats())
		dialRefused(t, server, "/", nil)
		require.Equal(t, websocket.Stats{Open: 0, Upgrades: 3}, upgrader.Stats())
	})
}

// adapter is all that a framework needs to stand on an Endpoint.
type adapter struct {
	endpoint  websocket.Endpoint
	handshake websocket.Handshake
	serve     func(conn *websocket.Conn) error
	told      errorList
	accepted  errorList // what Accept returned
}

func (a *adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := a.handshake
	h.Refuse = func(status int, reason error) { http.Error(w, reason.Error(), status) }
	conn, err := a.endpoint.Accept(w, r, h)
	a.accepted.add(err)
	if err != nil {
		return
	}
	a.endpoint.Run(conn, func() error { return a.serve(conn) }, a.told.add)
}

func TestEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("out of coffee")
		a := &adapter{serve: func(conn *websocket.Conn) error {
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
				return err
			}
			if _, _, err := conn.ReadMessage(); err != nil {
				return err
			}
			return failed
		}}
		server := wstest.Serve(t, a)

		client := wstest.Dial(t, server, "/", nil)
		client.ExpectText("hello")
		require.Equal(t, websocket.Stats{Open: 1, Upgrades: 1}, a.endpoint.Stats())
		client.WriteText("go on")
		client.ExpectClose(websocket.CloseInternalServerErr, http.StatusText(http.StatusInternalServerError))
		require.Equal(t, []error{failed}, a.told.all(), "told before the close frame is sent")

		client = wstest.Dial(t, server, "/", nil)
		client.ExpectText("hello")
		client.Close(websocket.CloseGoingAway, "")
		require.NoError(t, a.endpoint.Shutdown(t.Context()))
		require.Equal(t, []error{failed}, a.told.all(), "a goodbye is no failure")

		response := dialRefused(t, server, "/", nil)
		require.Equal(t, http.StatusServiceUnavailable, response.status)
		require.Equal(t, "5", response.header.Get("Retry-After"))
		require.Equal(t, []error{nil, nil, websocket.ErrShutdown}, a.accepted.all())
	})
}

func TestEndpointHandshake(t *testing.T) {
	for _, tt := range []struct {
		name      string
		handshake websocket.Handshake
		origin    string
		refused   bool
	}{
		{name: "the same origin, without a CheckOrigin", origin: "http://wstest"},
		{name: "another origin, without a CheckOrigin", origin: "https://evil.test", refused: true},
		{name: "another origin, with a CheckOrigin", origin: "https://partner.test", handshake: websocket.Handshake{CheckOrigin: func() bool { return true }}},
		{name: "the same origin, with a CheckOrigin", origin: "http://wstest", handshake: websocket.Handshake{CheckOrigin: func() bool { return false }}, refused: true},
		{name: "Settings and a Header", origin: "http://wstest", handshake: websocket.Handshake{
			Settings: &ws.Upgrader{Subprotocols: []string{"chat"}},
			Header:   http.Header{"X-Served-By": {"me"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &adapter{handshake: tt.handshake, serve: func(conn *websocket.Conn) error { return echo(conn, nil) }}
			options := &wstest.Options{Header: http.Header{"Origin": {tt.origin}}, Subprotocols: []string{"chat"}}
			if tt.refused {
				require.Equal(t, http.StatusForbidden, dialRefused(t, a, "/", options).status)
				require.Len(t, a.accepted.all(), 1)
				require.ErrorContains(t, a.accepted.all()[0], tt.origin)
				requireIdle(t, &a.endpoint)
				return
			}
			client := wstest.Dial(t, a, "/", options)
			require.Equal(t, tt.handshake.Header.Get("X-Served-By"), client.Response.Header.Get("X-Served-By"))
			if tt.handshake.Settings != nil {
				require.Equal(t, "chat", client.Subprotocol())
			}
			client.WriteText("hello")
			client.ExpectText("hello")
		})
	}
}

// TestShutdownDuringTheUpgrade is about upgrades that have begun when Shutdown
// does: it waits for them.
func TestShutdownDuringTheUpgrade(t *testing.T) {
	for _, tt := range []struct {
		name    string
		allowed bool
	}{
		{name: "that succeed", allowed: true},
		{name: "that are refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				decided := make(chan bool)
				upgrader := websocket.New(&originController{
					ControllerFunc: func(*websocket.Conn, *http.Request) error {
						assert.Fail(t, "nobody is there to be served")
						return nil
					},
					check: func(*http.Request) bool { return <-decided },
				})
				conn := dialHTTP(t, wstest.Serve(t, upgrader))
				conn.send(upgradeBytes(t))
				synctest.Wait()

				down := make(chan error, 1)
				go func() { down <- upgrader.Shutdown(context.Background()) }()
				synctest.Wait()
				require.Empty(t, down, "an upgrade is under way")
				decided <- tt.allowed

				response := conn.answer(upgradeRequest(nil))
				if tt.allowed {
					require.Equal(t, http.StatusSwitchingProtocols, response.status)
					conn.expectFrames(wstest.Close(websocket.CloseGoingAway, "Server shutting down"))
					conn.send(wstest.Close(websocket.CloseGoingAway, "").Bytes())
				} else {
					require.Equal(t, http.StatusForbidden, response.status)
				}
				require.NoError(t, <-down)
			})
		})
	}
}

// TestShutdownCutsAnUpgrade is about a client that does not take the 101: when
// Shutdown's context ends, no socket of the endpoint is left.
func TestShutdownCutsAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		upgrader := websocket.New(&headerController{ControllerFunc: echo, headers: func(*http.Request) http.Header {
			return http.Header{"X-Long": {strings.Repeat("x", 2*wstest.PipeBuffer)}}
		}})
		upgrader.Settings.HandshakeTimeout = time.Hour
		upgrader.Log = func(_ context.Context, _ slog.Level, err error, _ ...slog.Attr) { failed <- err }
		conn := dialHTTP(t, wstest.Serve(t, upgrader))
		conn.send(upgradeBytes(t))
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := upgrader.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "connections cut: 0", "the one under way counts")
		start := time.Now()
		require.Error(t, <-failed)
		assert.Zero(t, time.Since(start), "the socket is closed when Shutdown returns")
	})
}

// TestShutdownBetweenAcceptAndRun is about a connection that is upgraded but
// not yet served.
func TestShutdownBetweenAcceptAndRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var endpoint websocket.Endpoint
		accepted, run := make(chan *websocket.Conn), make(chan struct{})
		client := wstest.DialRaw(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := endpoint.Accept(w, r, websocket.Handshake{})
			assert.NoError(t, err)
			accepted <- conn
			<-run
			endpoint.Run(conn, func() error {
				assert.Fail(t, "nobody is there to be served")
				return nil
			}, func(err error) { assert.NoError(t, err) })
		}), "/", nil)
		conn := <-accepted
		down := make(chan error)
		go func() { down <- endpoint.Shutdown(context.Background()) }()
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		require.ErrorIs(t, context.Cause(conn.Context()), websocket.ErrShutdown)
		client.Send(wstest.Close(websocket.CloseGoingAway, ""))
		client.ExpectEnd()
		synctest.Wait()
		select {
		case err := <-down:
			require.Fail(t, "Shutdown does not wait for Run", "%v", err)
		default:
		}
		close(run)
		require.NoError(t, <-down)
		require.Equal(t, websocket.Stats{Upgrades: 1}, endpoint.Stats())
	})
}
