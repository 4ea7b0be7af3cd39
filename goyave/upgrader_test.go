package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdslog "log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/auth"
	"goyave.dev/goyave/v5/cors"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/compress"
	"goyave.dev/goyave/v5/middleware/parse"
	errorutil "goyave.dev/goyave/v5/util/errors"
	original "goyave.dev/goyave/v5/websocket"
)

func TestHandlerBeforeInitPanics(t *testing.T) {
	defer func() {
		err, ok := recover().(*errorutil.Error)
		require.True(t, ok)
		assert.Contains(t, err.Error(), "call Init before Handler")
	}()
	websocket.New(&plain{}).Handler()
}

// An Upgrader can serve several routes, with common Stats and a common Shutdown.
func TestHandlerForSeveralRoutes(t *testing.T) {
	upgrader := websocket.New(&plain{})
	a := start(t, func(server *goyave.Server, router *goyave.Router) {
		upgrader.Init(server)
		router.Get("/a", upgrader.Handler())
		router.Get("/b", upgrader.Handler())
		router.Subrouter("/c").Controller(upgrader)
	})
	clients := make([]*wstest.Client, 0, 3)
	for _, path := range []string{"/a", "/b", "/c"} {
		client := a.dial(path)
		client.WriteText(path)
		client.ExpectText(path)
		clients = append(clients, client)
	}
	stats := upgrader.Stats()
	assert.Equal(t, 3, stats.Open)
	assert.EqualValues(t, 3, stats.Upgrades)

	ended := make(chan error, 1)
	go func() { ended <- upgrader.Shutdown(t.Context()) }()
	for _, client := range clients {
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
	}
	require.NoError(t, receive(t, ended))
	response, body := a.refused("/a", nil)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.Equal(t, "5", response.Header.Get("Retry-After"))
	assert.JSONEq(t, `{"error": "Service Unavailable"}`, body)
	stats = upgrader.Stats()
	assert.Zero(t, stats.Open)
	assert.EqualValues(t, 3, stats.Upgrades)
	assert.Equal(t, map[int]uint64{http.StatusServiceUnavailable: 1}, stats.Refusals)
}

func TestShutdownAndStatsBeforeHandler(t *testing.T) {
	upgrader := websocket.New(&plain{})
	require.NoError(t, upgrader.Shutdown(t.Context()))
	assert.Zero(t, upgrader.Stats())
	a := start(t, func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })
	a.dial("/ws").Close(websocket.CloseNormalClosure, "")
}

// seenRequest is the data of a request that middleware has seen.
type seenRequest struct {
	Query       map[string]any
	Data        any
	User        any
	Extra       any
	Lang        string
	Params      map[string]string
	Header      string
	Cookie      string
	Route       string
	UserContext any
}

type extraKey struct{}

func look(request *goyave.Request) seenRequest {
	user, _ := auth.UserFromContext[tokenUser](request.Context()), true
	seen := seenRequest{
		Query:       request.Query,
		Data:        request.Data,
		User:        request.User,
		Extra:       request.Extra[extraKey{}],
		Lang:        request.Lang.Name(),
		Params:      request.RouteParams,
		Header:      request.Header().Get("X-Test"),
		Route:       request.Route.GetName(),
		UserContext: user,
	}
	for _, cookie := range request.Cookies() {
		seen.Cookie += cookie.String()
	}
	return seen
}

// tokenUser is the user that the authenticator returns.
type tokenUser struct{ Name string }

// tokenAuthenticator accepts any bearer token and makes it the user's name.
type tokenAuthenticator struct{ goyave.Component }

func (*tokenAuthenticator) Authenticate(request *goyave.Request) (*tokenUser, error) {
	token, ok := request.BearerToken()
	if !ok {
		return nil, errors.New("no credentials")
	}
	return &tokenUser{Name: token}, nil
}

// around is a middleware.
type around struct {
	goyave.Component
	before func(response *goyave.Response, request *goyave.Request)
	after  func(response *goyave.Response, request *goyave.Request)
}

func (m *around) Handle(next goyave.Handler) goyave.Handler {
	return func(response *goyave.Response, request *goyave.Request) {
		if m.before != nil {
			m.before(response, request)
		}
		next(response, request)
		if m.after != nil {
			m.after(response, request)
		}
	}
}

// registering is a plain controller that registers its route.
type registering struct {
	plain
	register func(router *goyave.Router, handler goyave.Handler)
}

func (ctrl *registering) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	ctrl.register(router, handler)
}

// Serve sees the same data as the middleware, while ten goroutines of middleware read the request
// and the access log is written. The race detector checks this.
func TestServeReceivesTheRequest(t *testing.T) {
	const rounds = 20
	var (
		sawBefore = make(chan seenRequest, 1)
		sawAfter  = make(chan seenRequest, 10)
		inServe   = make(chan seenRequest, 1)
		identity  = make(chan *goyave.Request, 2)
	)
	ctrl := &registering{
		register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("/{room}", handler).Name("rooms").SetMeta(auth.MetaAuth, true)
		},
	}
	ctrl.serve = func(conn *websocket.Conn, request *goyave.Request) error {
		seen := look(request)
		for range 10 {
			look(request)
		}
		identity <- request
		inServe <- seen
		return echo(conn, request)
	}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(log.CombinedLogMiddleware(), &parse.Middleware{}, auth.Middleware(&tokenAuthenticator{}))
		router.CORS(cors.Default())
		for range 10 {
			router.Middleware(&around{after: func(response *goyave.Response, request *goyave.Request) {
				if response.GetStatus() == http.StatusSwitchingProtocols && response.Hijacked() && response.IsEmpty() && !response.IsHeaderWritten() {
					sawAfter <- look(request)
				}
			}})
		}
		router.Middleware(&around{before: func(_ *goyave.Response, request *goyave.Request) {
			request.Extra[extraKey{}] = "extra"
			identity <- request
			sawBefore <- look(request)
		}})
		router.Subrouter("/chat").Controller(websocket.New(ctrl))
	})
	for range rounds {
		client := a.dialWith("/chat/goyave?name=Ada&n=1&n=2", http.Header{
			"X-Test":          {"yes"},
			"Cookie":          {"a=b; c=d"},
			"Authorization":   {"Bearer Ada"},
			"Accept-Language": {"en-US"},
			"Accept-Encoding": {"gzip"},
		})
		want := receive(t, sawBefore)
		assert.Equal(t, map[string]any{"name": "Ada", "n": []string{"1", "2"}}, want.Query)
		assert.Equal(t, &tokenUser{Name: "Ada"}, want.User)
		assert.Equal(t, seenRequest{
			Query: want.Query, User: want.User, Extra: "extra", Lang: "en-US", Params: map[string]string{"room": "goyave"},
			Header: "yes", Cookie: "a=bc=d", Route: "rooms", UserContext: want.UserContext,
		}, want)
		assert.Equal(t, want, receive(t, inServe))
		for range 10 {
			assert.Equal(t, want, receive(t, sawAfter))
		}
		inMiddleware := receive(t, identity)
		assert.NotSame(t, inMiddleware, receive(t, identity), "Serve's is its own")
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "")
	}
	require.Eventually(t, func() bool { return len(a.log.with("GET \"/chat/goyave")) == rounds }, patience, time.Millisecond)
	for _, line := range a.log.with("GET \"/chat/goyave") {
		assert.Contains(t, line["msg"], `HTTP/1.1" 101 0 `)
	}
}

// Goyave parses cookies at the first use, which may be in Serve or in middleware.
func TestCookiesAreNoRace(t *testing.T) {
	names := make(chan string, 2)
	first := func(request *goyave.Request) { names <- request.Cookies()[0].Name }
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Middleware(&around{after: func(_ *goyave.Response, request *goyave.Request) { first(request) }})
		router.Subrouter("/ws").Controller(websocket.New(&plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
			first(request)
			return echo(conn, request)
		}}))
	})
	client := a.dialWith("/ws", http.Header{"Cookie": {"a=b"}})
	assert.Equal(t, "a", receive(t, names))
	assert.Equal(t, "a", receive(t, names))
	client.Close(websocket.CloseNormalClosure, "")
}

// statusHandler records its calls.
type statusHandler struct {
	goyave.Component
	handle func(response *goyave.Response, request *goyave.Request)
}

func (h *statusHandler) Handle(response *goyave.Response, request *goyave.Request) {
	h.handle(response, request)
}

// Everything that Goyave runs around a handler sees the status 101 and writes nothing.
func TestMiddlewareAroundAnUpgrade(t *testing.T) {
	status := make(chan int, 10)
	after := make(chan int, 10)
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(
			log.CombinedLogMiddleware(),
			&compress.Middleware{Encoders: []compress.Encoder{&compress.Gzip{}}},
			&parse.Middleware{},
		)
		router.CORS(&cors.Options{AllowedOrigins: []string{"https://other.test"}, MaxAge: time.Hour})
		router.StatusHandler(&statusHandler{handle: func(response *goyave.Response, _ *goyave.Request) {
			status <- response.GetStatus()
		}}, http.StatusSwitchingProtocols, http.StatusOK, http.StatusNoContent, http.StatusInternalServerError)
		router.Middleware(&around{after: func(response *goyave.Response, _ *goyave.Request) { after <- response.GetStatus() }})
		router.Subrouter("/ws").Controller(websocket.New(&plain{}))
	})
	client := wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Header: http.Header{"Accept-Encoding": {"gzip"}}, Timeout: patience})
	assert.Equal(t, http.StatusSwitchingProtocols, receive(t, status))
	assert.Equal(t, http.StatusSwitchingProtocols, receive(t, after))
	assert.Contains(t, a.log.wait(t, "GET")["msg"], `HTTP/1.1" 101 0 `)
	client.Send(wstest.Text("hello"), wstest.Close(websocket.CloseNormalClosure, ""))
	client.Expect(wstest.Text("hello"))
	client.ExpectClose(websocket.CloseNormalClosure, "")
	client.ExpectEnd()
	assert.Empty(t, status)
	assert.Empty(t, client.Response.Header.Get("Content-Encoding"))

	response, _ := a.answer(http.MethodOptions, "/ws") // a preflight without its header
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
}

// A middleware that fails after the connection was hijacked affects its own log line only.
func TestPanicOfMiddlewareAfterTheUpgrade(t *testing.T) {
	for _, debug := range []bool{false, true} {
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.Middleware(&around{after: func(*goyave.Response, *goyave.Request) { panic("too late") }})
			router.Subrouter("/ws").Controller(websocket.New(&plain{}))
		}, setting{"app.debug", debug})
		client := a.dial("/ws")
		a.log.wait(t, "too late")
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "")
	}
}

// unwritable is a listener whose connections can be read from only.
type unwritable struct{ net.Listener }

func (l unwritable) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return unwritableConn{conn}, nil
}

type unwritableConn struct{ net.Conn }

func (unwritableConn) Write([]byte) (int, error) { return 0, errors.New("unwritable") }

// If writing the 101 fails, no other response is written.
func TestResponseThatCannotBeWritten(t *testing.T) {
	status := make(chan int, 10)
	a := newApp(t)
	a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		for _, s := range []int{http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusInternalServerError} {
			router.StatusHandler(&statusHandler{handle: func(*goyave.Response, *goyave.Request) { status <- s }}, s)
		}
		router.Subrouter("/ws").Controller(websocket.New(&told{
			plain:   plain{serve: func(*websocket.Conn, *goyave.Request) error { panic("served") }},
			onError: func(_ *goyave.Request, err error) { assert.NoError(t, err) },
		}))
	})
	listener := wstest.Listen()
	server := &http.Server{Handler: a.Router(), ReadHeaderTimeout: patience}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(unwritable{listener}) }()
	conn, err := listener.DialContext(t.Context())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, receive(t, status))
	_, err = bufio.NewReader(conn).ReadByte()
	require.ErrorIs(t, err, io.EOF)
	assert.Equal(t, "DEBUG", a.log.wait(t, "writing the handshake's response")["level"])
	require.NoError(t, server.Close())
	require.ErrorIs(t, receive(t, ended), http.ErrServerClosed)
	assert.Empty(t, status)
}

// refusing is a controller whose upgrades fail.
type refusing struct {
	plain
	header http.Header
	origin func(request *goyave.Request) bool
}

func (ctrl *refusing) UpgradeHeaders(*goyave.Request) http.Header { return ctrl.header }

func (ctrl *refusing) CheckOrigin(request *goyave.Request) bool {
	return ctrl.origin == nil || ctrl.origin(request)
}

// answering is a controller with an UpgradeErrorHandler.
type answering struct {
	refusing
	answer func(response *goyave.Response, request *goyave.Request, status int, reason error)
}

func (ctrl *answering) OnUpgradeError(response *goyave.Response, request *goyave.Request, status int, reason error) {
	ctrl.answer(response, request, status, reason)
}

// extensions are invalid headers for a 101 response. They are a mistake of the controller, with
// status 500.
var extensions = http.Header{"Sec-Websocket-Extensions": {"x"}}

// The response with status 500 is the same as the original's, also if the application has a handler
// for the status, and if the controller has an UpgradeErrorHandler.
func TestServerErrorIsGoyaves(t *testing.T) {
	never := func(*goyave.Response, *goyave.Request, int, error) { panic("asked for its opinion") }
	for _, debug := range []bool{false, true} {
		for _, custom := range []bool{false, true} {
			for name, ctrl := range map[string]interface {
				websocket.Controller
				websocket.HeaderUpgrader
			}{
				"plain":          &refusing{header: extensions},
				"OnUpgradeError": &answering{refusing: refusing{header: extensions}, answer: never},
			} {
				t.Run(fmt.Sprintf("debug %t, status handler %t, %s", debug, custom, name), func(t *testing.T) {
					var inOriginal original.Controller = &originalRefusing{ctrl, ctrl}
					if answers, ok := ctrl.(websocket.UpgradeErrorHandler); ok {
						inOriginal = &originalAnswering{originalRefusing{ctrl, ctrl}, answers}
					}
					a := start(t, func(_ *goyave.Server, router *goyave.Router) {
						if custom {
							router.StatusHandler(&statusHandler{handle: func(response *goyave.Response, _ *goyave.Request) {
								response.String(response.GetStatus(), "custom: "+response.GetError().Error())
							}}, http.StatusInternalServerError)
						}
						router.Subrouter("/ours").Controller(websocket.New(ctrl))
						router.Subrouter("/theirs").Controller(original.New(inOriginal))
					}, setting{"app.debug", debug})
					ours, oursBody := a.refused("/ours", nil)
					theirs, theirsBody := a.refused("/theirs", nil)
					assert.Equal(t, http.StatusInternalServerError, ours.StatusCode)
					assert.Equal(t, theirs.StatusCode, ours.StatusCode)
					assert.Equal(t, theirsBody, oursBody)
					assert.Equal(t, theirs.Header.Get("Content-Type"), ours.Header.Get("Content-Type"))
					logged := a.log.with("Sec-WebSocket-Extensions")
					require.Len(t, logged, 2, "one each")
					for _, line := range logged {
						assert.Equal(t, "ERROR", line["level"])
						assert.NotEmpty(t, line["trace"])
					}
					assert.Equal(t, logged[1]["msg"], logged[0]["msg"])
				})
			}
		}
	}
}

// originalRefusing is the controller for the original package.
type originalRefusing struct {
	goyave.Composable
	websocket.HeaderUpgrader
}

func (*originalRefusing) Serve(*original.Conn, *goyave.Request) error { return nil }

// originalAnswering is originalRefusing with an UpgradeErrorHandler.
type originalAnswering struct {
	originalRefusing
	websocket.UpgradeErrorHandler
}

// CheckUpgrade that returns status 500, or an error without a status, has failed: the reason is
// logged and not sent.
func TestCheckUpgradeFails(t *testing.T) {
	secret := errors.New("the secret")
	for _, err := range []error{
		secret,
		&websocket.RefusedError{Status: http.StatusInternalServerError, Reason: secret},
		&websocket.RefusedError{Status: http.StatusFound, Reason: secret}, // a redirect is a mistake
	} {
		a := start(t, at("/ws", &checkingAnswers{
			checking: checking{check: func(*goyave.Request) error { return err }},
		}))
		response, body := a.refused("/ws", nil)
		assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
		assert.JSONEq(t, `{"error": "Internal Server Error"}`, body)
		line := a.log.wait(t, "the secret")
		assert.Equal(t, "ERROR", line["level"])
		assert.NotEmpty(t, line["trace"])
	}
}

// checkingAnswers is a controller that refuses, and responds with the reason.
type checkingAnswers struct{ checking }

func (*checkingAnswers) OnUpgradeError(response *goyave.Response, _ *goyave.Request, status int, reason error) {
	response.String(status, reason.Error())
}

// Every status except 500 is a refusal.
func TestUpgradeErrorHandlerAnswersEveryStatus(t *testing.T) {
	ctrl := &answering{answer: func(response *goyave.Response, request *goyave.Request, status int, reason error) {
		assert.NotNil(t, request)
		assert.False(t, response.Hijacked())
		response.String(status, "custom: "+reason.Error())
	}}
	upgrader := websocket.New(ctrl)
	a := start(t, func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })

	response, body := a.answer(http.MethodGet, "/ws")
	assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
	assert.Equal(t, "13", response.Header.Get("Sec-Websocket-Version"))
	assert.Contains(t, body, "custom: websocket: ")

	ctrl.origin = func(*goyave.Request) bool { return false }
	response, body = a.refused("/ws", http.Header{"Origin": {"https://evil.test"}})
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	assert.Contains(t, body, "https://evil.test")

	ctrl.origin = nil
	require.NoError(t, upgrader.Shutdown(t.Context()))
	response, body = a.refused("/ws", nil)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.Equal(t, "custom: "+websocket.ErrShutdown.Error(), body)
	assert.Empty(t, a.log.with("custom"))
}

// Goyave recovers a panic before the upgrade, and the shutdown does not wait for the request.
func TestPanicBeforeTheUpgrade(t *testing.T) {
	ctrl := &refusing{origin: func(*goyave.Request) bool { panic("unchecked") }}
	upgrader := websocket.New(ctrl)
	a := start(t, func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })
	response, body := a.refused("/ws", nil)
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	assert.JSONEq(t, `{"error": "Internal Server Error"}`, body)
	a.log.wait(t, "unchecked")
	require.NoError(t, upgrader.Shutdown(t.Context()))
}

func TestOrigin(t *testing.T) {
	proxied := []setting{{"server.proxy.host", "www.example.test"}, {"server.proxy.protocol", "https"}, {"server.proxy.port", 443}}
	for _, tc := range []struct {
		name     string
		settings []setting
		origin   []string
		header   http.Header
		want     int
	}{
		{name: "no origin: no browser", want: http.StatusSwitchingProtocols},
		{name: "the server's own", origin: []string{"http://HOST"}, want: http.StatusSwitchingProtocols},
		{name: "another host", origin: []string{"https://evil.test"}, want: http.StatusForbidden},
		{name: "an opaque origin", origin: []string{"null"}, want: http.StatusForbidden},
		{name: "several", origin: []string{"http://HOST", "http://HOST"}, want: http.StatusForbidden},
		{name: "the host in a forwarded header", origin: []string{"https://evil.test"}, header: http.Header{
			"X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"host=evil.test;proto=https"},
			"X-Original-Host": {"evil.test"}, "X-Host": {"evil.test"},
		}, want: http.StatusForbidden},

		{name: "the domain", settings: []setting{{"server.domain", "Example.test"}}, origin: []string{"https://example.test"}, want: http.StatusSwitchingProtocols},
		{name: "the domain in plain text", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"http://EXAMPLE.test:80"}, want: http.StatusSwitchingProtocols},
		{name: "the domain with the server's port", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"http://example.test:PORT"}, want: http.StatusSwitchingProtocols},
		{name: "the domain with another port", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"http://example.test:1"}, want: http.StatusForbidden},
		{name: "a subdomain", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"https://evil.example.test"}, want: http.StatusForbidden},
		{name: "a domain that begins alike", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"https://example.test.evil.test"}, want: http.StatusForbidden},
		{name: "the domain of another scheme", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"ftp://example.test"}, want: http.StatusForbidden},
		{name: "the domain, twice", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"https://example.test", "https://example.test"}, want: http.StatusForbidden},
		{name: "the domain and another", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"https://evil.test"}, want: http.StatusForbidden},
		{name: "an address with a user", settings: []setting{{"server.domain", "example.test"}}, origin: []string{"https://example.test@evil.test"}, want: http.StatusForbidden},
		{name: "IPv6", settings: []setting{{"server.domain", "::1"}}, origin: []string{"http://[::1]:PORT"}, want: http.StatusSwitchingProtocols},
		{name: "IPv6 in brackets", settings: []setting{{"server.domain", "[::1]"}}, origin: []string{"http://[::1]:PORT"}, want: http.StatusSwitchingProtocols},
		{name: "IPv6 at length", settings: []setting{{"server.domain", "0:0:0:0:0:0:0:1"}}, origin: []string{"http://[::1]"}, want: http.StatusSwitchingProtocols},
		{name: "IPv6 with capitals and zeros", settings: []setting{{"server.domain", "2001:DB8:0::01"}}, origin: []string{"http://[2001:db8::1]"}, want: http.StatusSwitchingProtocols},
		{name: "IPv4 in IPv6", settings: []setting{{"server.domain", "::ffff:1.2.3.4"}}, origin: []string{"http://[::ffff:102:304]"}, want: http.StatusSwitchingProtocols},
		{name: "another address of IPv6", settings: []setting{{"server.domain", "0:0:0:0:0:0:0:1"}}, origin: []string{"http://[::2]"}, want: http.StatusForbidden},
		{name: "no domain is no host", origin: []string{"http://:80"}, want: http.StatusForbidden},

		{name: "the proxy", settings: proxied, origin: []string{"https://www.example.test"}, want: http.StatusSwitchingProtocols},
		{name: "the proxy in plain text", settings: proxied, origin: []string{"http://www.example.test"}, want: http.StatusForbidden},
		{name: "the proxy with another port", settings: proxied, origin: []string{"https://www.example.test:8443"}, want: http.StatusForbidden},
		{name: "the proxy with the server's port", settings: proxied, origin: []string{"https://www.example.test:PORT"}, want: http.StatusForbidden},
		{name: "the proxy's port", settings: append([]setting{{"server.proxy.port", 8443}}, proxied[:2]...), origin: []string{"https://www.example.test:8443"}, want: http.StatusSwitchingProtocols},
		{name: "the proxy's port in plain text", settings: append([]setting{{"server.proxy.port", 8443}}, proxied[:2]...), origin: []string{"http://www.example.test:8443"}, want: http.StatusForbidden},
		{name: "the proxy's IPv6 at length", settings: []setting{{"server.proxy.host", "[2001:DB8:0::01]"}, {"server.proxy.protocol", "https"}, {"server.proxy.port", 443}}, origin: []string{"https://[2001:db8::1]"}, want: http.StatusSwitchingProtocols},
		{name: "a proxy without a host", settings: []setting{{"server.proxy.host", ""}, {"server.proxy.protocol", "http"}, {"server.proxy.port", 80}}, origin: []string{"http://:80"}, want: http.StatusForbidden},
		{name: "another host than the proxy", settings: proxied, origin: []string{"https://evil.test"}, want: http.StatusForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := start(t, at("/ws", &plain{}), tc.settings...)
			header := http.Header{}
			maps.Copy(header, tc.header)
			for _, origin := range tc.origin {
				origin = strings.ReplaceAll(origin, "HOST", a.Host())
				header.Add("Origin", strings.ReplaceAll(origin, "PORT", fmt.Sprint(a.Port())))
			}
			if tc.want == http.StatusSwitchingProtocols {
				a.dialWith("/ws", header).Close(websocket.CloseNormalClosure, "")
				return
			}
			response, body := a.refused("/ws", header)
			assert.Equal(t, tc.want, response.StatusCode)
			assert.JSONEq(t, `{"error": "Forbidden"}`, body)
		})
	}
}

// The controller's CheckOrigin overrides the configuration.
func TestOriginCheckerWins(t *testing.T) {
	var asked atomic.Int32
	ctrl := &refusing{origin: func(request *goyave.Request) bool {
		asked.Add(1)
		return request.Header().Get("Origin") == "https://friend.test"
	}}
	a := start(t, at("/ws", ctrl), setting{"server.domain", "example.test"})
	a.dialWith("/ws", http.Header{"Origin": {"https://friend.test"}}).Close(websocket.CloseNormalClosure, "")
	for _, origin := range []string{"https://example.test", "http://" + a.Host()} {
		response, _ := a.refused("/ws", http.Header{"Origin": {origin}})
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
	}
	assert.EqualValues(t, 3, asked.Load())
}

func panicking(*websocket.Conn, *goyave.Request) error { panic("the value") }

type errCustom struct{ code int }

func (e *errCustom) Error() string { return fmt.Sprintf("custom %d", e.code) }

// failing returns what mounts a controller whose OnError is onError and whose serve runs in Serve,
// Open or OnMessage.
func failing(
	place string, serve func(*websocket.Conn, *goyave.Request) error, onError func(*goyave.Request, error),
) func(*goyave.Server, *goyave.Router) {
	if place == "Serve" {
		return at("/ws", &told{plain: plain{serve: serve}, onError: onError})
	}
	open := func(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
		if place == "Open" {
			return nil, serve(conn, request)
		}
		return websocket.MessageHandlerFunc(func(int, []byte) error { return serve(conn, request) }), nil
	}
	return atMessages("/ws", &toldByMessage{byMessage: byMessage{open: open}, onError: onError})
}

// The error of OnError is a Goyave error, with message and trace, for every kind of failure of
// Serve, Open and OnMessage.
func TestOnErrorIsToldGoyaveErrors(t *testing.T) {
	traced := errorutil.New("traced where it happened")
	for _, tc := range []struct {
		name    string
		serve   func(conn *websocket.Conn, request *goyave.Request) error
		message string
		first   string // the first function in the trace; "": any
		in      string // a function somewhere in it
		check   func(t *testing.T, err error)
	}{
		{
			name:    "an error",
			serve:   func(*websocket.Conn, *goyave.Request) error { return &errCustom{7} },
			message: "custom 7",
			check: func(t *testing.T, err error) {
				t.Helper()
				var custom *errCustom
				require.ErrorAs(t, err, &custom)
				assert.Equal(t, 7, custom.code)
			},
		},
		{
			name:    "an error of Goyave's",
			serve:   func(*websocket.Conn, *goyave.Request) error { return traced },
			message: "traced where it happened",
			first:   "TestOnErrorIsToldGoyaveErrors",
			check:   func(t *testing.T, err error) { t.Helper(); assert.Same(t, traced, err) },
		},
		{
			name:    "a panic",
			serve:   panicking,
			message: "the value",
			first:   "goyave_test.panicking",
		},
		{
			name:    "a panic with an error",
			serve:   func(*websocket.Conn, *goyave.Request) error { panic(io.ErrUnexpectedEOF) },
			message: io.ErrUnexpectedEOF.Error(),
			first:   "TestOnErrorIsToldGoyaveErrors",
			check:   func(t *testing.T, err error) { t.Helper(); assert.ErrorIs(t, err, io.ErrUnexpectedEOF) },
		},
		{
			name:    "a panic with an error of Goyave's",
			serve:   func(*websocket.Conn, *goyave.Request) error { panic(traced) },
			message: "traced where it happened",
			check:   func(t *testing.T, err error) { t.Helper(); assert.Same(t, traced, err) },
		},
		{
			name: "a panic with a close error",
			serve: func(*websocket.Conn, *goyave.Request) error {
				panic(websocket.NewCloseError(websocket.CloseNormalClosure, "not chosen"))
			},
			message: "websocket: close 1000 (normal): not chosen",
		},
		{
			name: "a runtime error",
			serve: func(_ *websocket.Conn, request *goyave.Request) error {
				return fmt.Errorf("%d", []int{}[len(request.Query)])
			},
			message: "index out of range [0] with length 0",
			in:      "TestOnErrorIsToldGoyaveErrors",
			check: func(t *testing.T, err error) {
				t.Helper()
				var failure runtime.Error
				assert.ErrorAs(t, err, &failure)
			},
		},
		{
			name:    "a panic with nil",
			serve:   func(*websocket.Conn, *goyave.Request) error { panic(nil) }, //nolint:govet // that is the test
			message: "panic called with nil argument",
		},
		{
			name: "runtime.Goexit",
			serve: func(*websocket.Conn, *goyave.Request) error {
				runtime.Goexit()
				return nil
			},
			message: "websocket: controller left by runtime.Goexit",
			in:      "TestOnErrorIsToldGoyaveErrors",
			check: func(t *testing.T, err error) {
				t.Helper()
				var p *websocket.PanicError
				require.ErrorAs(t, err, &p)
				assert.Contains(t, string(p.Stack), "TestOnErrorIsToldGoyaveErrors")
			},
		},
		{
			name: "a panic of a function that belongs to the connection",
			serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conn.Go(func(context.Context) error { return panicking(conn, request) })
				return echo(conn, request)
			},
			message: "the value",
			first:   "goyave_test.panicking",
		},
		{
			name: "an error of a function that belongs to the connection",
			serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conn.Go(func(context.Context) error { return &errCustom{8} })
				return echo(conn, request)
			},
			message: "custom 8",
			in:      "mounted).guard",
			check: func(t *testing.T, err error) {
				t.Helper()
				var custom *errCustom
				assert.ErrorAs(t, err, &custom)
			},
		},
		{
			name: "an error of Goyave's, of a function that belongs to the connection",
			serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conn.Go(func(context.Context) error { return traced })
				return echo(conn, request)
			},
			message: "traced where it happened",
			first:   "TestOnErrorIsToldGoyaveErrors",
			check:   func(t *testing.T, err error) { t.Helper(); assert.Same(t, traced, err) },
		},
	} {
		for _, place := range []string{"Serve", "Open", "OnMessage"} {
			t.Run(tc.name+" in "+place, func(t *testing.T) {
				failures := make(chan error, 2)
				a := start(t, failing(place, tc.serve, func(request *goyave.Request, err error) {
					conn, ok := websocket.FromContext(request.Context())
					if assert.True(t, ok) {
						assert.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("last words")))
					}
					failures <- err
				}))
				client := a.dial("/ws")
				if place == "OnMessage" {
					client.WriteText("fail")
				}
				client.ExpectText("last words")
				client.ExpectClose(websocket.CloseInternalServerErr, http.StatusText(http.StatusInternalServerError))

				err := receive(t, failures)
				failure, ok := err.(*errorutil.Error) //nolint:errorlint // the type itself is promised
				require.True(t, ok, "%T", err)
				assert.Equal(t, 1, strings.Count(failure.Error(), tc.message), "%v", failure)
				assert.Equal(t, 1, failure.Len())
				frames := failure.StackFrames()
				require.NotEmpty(t, frames)
				assert.Contains(t, frames[0].Function, tc.first)
				assert.Contains(t, frames.String(), tc.in)
				if tc.check != nil {
					tc.check(t, err)
				}
				a.stop()
				assert.Empty(t, failures, "it is told once")
				assert.Empty(t, a.log.with(tc.message), "who is told does not find it in the log, too")
			})
		}
	}
}

// OnClose receives what ended the connection.
func TestOnClose(t *testing.T) {
	for _, tc := range []struct {
		name  string
		serve func() error
		check func(t *testing.T, err error)
	}{
		{
			name:  "an error",
			serve: func() error { return &errCustom{7} },
			check: func(t *testing.T, err error) { t.Helper(); var custom *errCustom; assert.ErrorAs(t, err, &custom) },
		},
		{
			name:  "a panic",
			serve: func() error { panic("the value") },
			check: func(t *testing.T, err error) {
				t.Helper()
				var p *websocket.PanicError
				require.ErrorAs(t, err, &p)
				assert.Contains(t, fmt.Sprint(p.Value), "the value")
			},
		},
		{
			name:  "the client closes",
			check: func(t *testing.T, err error) { t.Helper(); assert.Equal(t, 4000, websocket.CloseStatus(err)) },
		},
		{
			name:  "the server stops",
			serve: func() error { return nil },
			check: func(t *testing.T, err error) { t.Helper(); assert.ErrorIs(t, err, websocket.ErrShutdown) },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			closed := make(chan error, 2)
			a := start(t, atMessages("/ws", &byMessage{open: func(*websocket.Conn, *goyave.Request) (websocket.MessageHandler, error) {
				return &closingHandler{
					MessageHandlerFunc: func(int, []byte) error { return tc.serve() },
					onClose:            func(err error) { closed <- err },
				}, nil
			}}))
			client := a.dial("/ws")
			if tc.serve == nil {
				client.Close(4000, "")
			} else {
				client.WriteText("go")
			}
			if tc.name != "the server stops" {
				tc.check(t, receive(t, closed))
				a.stop()
			} else {
				a.stop()
				tc.check(t, receive(t, closed))
			}
			assert.Empty(t, closed, "it is called once")
		})
	}
}

// Two failures are two reasons, each with its own trace.
func TestTwoFailures(t *testing.T) {
	both := func(conn *websocket.Conn, request *goyave.Request) error {
		conn.Go(func(context.Context) error { return panicking(conn, request) })
		<-request.Context().Done()
		return errors.New("something failed")
	}
	failures := make(chan error, 2)
	ctrl := &told{plain: plain{serve: both}, onError: func(_ *goyave.Request, err error) { failures <- err }}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/told").Controller(websocket.New(ctrl))
		router.Subrouter("/logged").Controller(websocket.New(&plain{serve: both}))
	}, setting{"app.debug", true})
	a.dial("/told").ExpectClose(websocket.CloseInternalServerErr, "the value\nsomething failed")
	var failure *errorutil.Error
	require.ErrorAs(t, receive(t, failures), &failure)
	require.Equal(t, 2, failure.Len())
	var first, second *errorutil.Error
	require.ErrorAs(t, failure.Unwrap()[0], &first)
	assert.Contains(t, first.StackFrames()[0].Function, "goyave_test.panicking")
	require.ErrorAs(t, failure.Unwrap()[1], &second)
	assert.Contains(t, second.StackFrames().String(), "mounted).serve")

	a.dial("/logged").ExpectClose(websocket.CloseInternalServerErr, "the value\nsomething failed")
	a.stop()
	require.Len(t, a.log.with("the value"), 1)
	checkText(t, a.log.with("the value")[0], "trace", "goyave_test.panicking")
	checkText(t, a.log.with("the value")[0], "stack", "")
	require.Len(t, a.log.with("something failed"), 1)
	checkText(t, a.log.with("something failed")[0], "trace", "mounted).serve")
}

// Failures of the connection itself are Goyave errors, too.
func TestOnErrorIsToldOfThePeer(t *testing.T) {
	failures := make(chan error, 2)
	ctrl := &told{plain: plain{serve: func(conn *websocket.Conn, _ *goyave.Request) error {
		_, _, _ = conn.ReadMessage()
		return nil // says nothing
	}}, onError: func(_ *goyave.Request, err error) { failures <- err }}
	a := start(t, at("/ws", ctrl))
	client := wstest.DialRaw(t, a.url, "/ws", nil)
	client.Send(wstest.Text("not masked").Unmasked())
	client.ExpectClose(websocket.CloseProtocolError, "frame is not masked")
	require.NoError(t, client.Conn.Close())
	var failure *errorutil.Error
	err := receive(t, failures)
	require.ErrorAs(t, err, &failure)
	assert.Contains(t, err.Error(), "frame is not masked")

	require.NoError(t, a.dial("/ws").Conn.Close())
	err = receive(t, failures)
	require.ErrorAs(t, err, &failure)
	assert.True(t, websocket.IsDisconnect(err))
}

func TestDefaultLog(t *testing.T) {
	for _, tc := range []struct {
		name        string
		serve       func(conn *websocket.Conn, request *goyave.Request) error
		level, text string
		trace       string // "" for none
		stack       string
	}{
		{
			name:  "an error",
			serve: func(*websocket.Conn, *goyave.Request) error { return errors.New("something failed") },
			level: "ERROR", text: "something failed", trace: "mounted).serve",
		},
		{
			name:  "a panic",
			serve: panicking,
			level: "ERROR", text: "the value", trace: "goyave_test.panicking",
		},
		{
			name: "runtime.Goexit",
			serve: func(*websocket.Conn, *goyave.Request) error {
				runtime.Goexit()
				return nil
			},
			level: "ERROR", text: "controller left by runtime.Goexit", stack: "TestDefaultLog",
		},
		{
			name: "a panic of a function that belongs to the connection",
			serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conn.Go(func(context.Context) error { return panicking(conn, request) })
				return echo(conn, request)
			},
			level: "ERROR", text: "the value", trace: "goyave_test.panicking",
		},
		{
			name: "a panic of a function that the end of the connection calls",
			serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conn.BeforeClose(func() { _ = panicking(conn, request) })
				return nil
			},
			level: "ERROR", text: "the value", trace: "goyave_test.panicking",
		},
		{
			name: "an error of a function that belongs to the connection",
			serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conn.Go(func(context.Context) error { return errors.New("something failed") })
				return echo(conn, request)
			},
			level: "ERROR", text: "something failed", trace: "mounted).guard",
		},
		{
			name:  "an ending",
			serve: func(*websocket.Conn, *goyave.Request) error { return websocket.NewCloseError(4001, "chosen") },
			level: "DEBUG", text: "",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctrl := &registering{plain: plain{serve: tc.serve}, register: func(router *goyave.Router, handler goyave.Handler) {
				router.Get("/unnamed/{id}", handler)
				router.Get("/named", handler).Name("the name")
			}}
			for _, route := range []struct{ path, name string }{
				{"/ws/unnamed/1?secret=1", "/ws/unnamed/{id}"},
				{"/ws/named", "the name"},
			} {
				a := start(t, at("/ws", ctrl))
				client := a.dial(route.path)
				_, _, err := client.ReadMessage()
				require.Error(t, err)
				if tc.level == "DEBUG" {
					return
				}
				line := a.log.wait(t, tc.text)
				a.stop()
				assert.Len(t, a.log.with(tc.text), 1, "it is logged once")
				assert.Equal(t, tc.level, line["level"])
				assert.Equal(t, route.name, line["route"])
				assert.Equal(t, client.LocalAddr().String(), line["remote"])
				assert.Contains(t, line, "duration")
				checkText(t, line, "trace", tc.trace)
				checkText(t, line, "stack", tc.stack)
			}
		})
	}
}

func checkText(t *testing.T, line map[string]any, key, want string) {
	t.Helper()
	if want == "" {
		assert.NotContains(t, line, key)
		return
	}
	assert.Contains(t, line[key], want)
}

func TestDefaultLogOfThePeer(t *testing.T) {
	a := start(t, at("/ws", &plain{}))
	client := wstest.DialRaw(t, a.url, "/ws", nil)
	client.Send(wstest.Text("not masked").Unmasked())
	line := a.log.wait(t, "mask")
	require.NoError(t, client.Conn.Close())
	assert.Equal(t, "WARN", line["level"])
	assert.Equal(t, "/ws", line["route"])

	require.NoError(t, a.dial("/ws").Conn.Close())
	line = a.log.wait(t, "1006")
	assert.Equal(t, "DEBUG", line["level"])
	assert.Equal(t, "/ws", line["route"])
}

// The server's logger may be replaced until the start.
func TestDefaultLogIsTheServers(t *testing.T) {
	a := newApp(t)
	a.RegisterRoutes(at("/ws", &plain{serve: panicking}))
	later := newApp(t)
	a.Logger = later.Logger
	a.run()
	a.dial("/ws").ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
	later.log.wait(t, "the value")
	assert.Empty(t, a.log.with("the value"))
}

func TestDebug(t *testing.T) {
	fails := func(*websocket.Conn, *goyave.Request) error { return errors.New("the details") }
	for _, tc := range []struct {
		name         string
		config, code bool
		serve        func(conn *websocket.Conn, request *goyave.Request) error
		want, reason string
	}{
		{name: "off", want: "Internal Server Error", reason: "Forbidden"},
		{name: "app.debug", config: true, want: "the details", reason: "evil.test"},
		{name: "the field", code: true, want: "the details", reason: "evil.test"},
		{name: "a panic", code: true, serve: func(*websocket.Conn, *goyave.Request) error { panic("the details") }, want: "the details", reason: "evil.test"},
		{name: "a panic with an error", code: true, serve: func(*websocket.Conn, *goyave.Request) error { panic(errors.New("the details")) }, want: "the details", reason: "evil.test"},
		{name: "a panic of a function that belongs to the connection", code: true, serve: func(conn *websocket.Conn, request *goyave.Request) error {
			conn.Go(func(context.Context) error { panic("the details") })
			return echo(conn, request)
		}, want: "the details", reason: "evil.test"},
		{name: "an error of a function that belongs to the connection", code: true, serve: func(conn *websocket.Conn, request *goyave.Request) error {
			conn.Go(func(context.Context) error { return errors.New("the details") })
			return echo(conn, request)
		}, want: "the details", reason: "evil.test"},
	} {
		if tc.serve == nil {
			tc.serve = fails
		}
		t.Run(tc.name, func(t *testing.T) {
			a := start(t, func(_ *goyave.Server, router *goyave.Router) {
				upgrader := websocket.New(&plain{serve: tc.serve})
				upgrader.Debug = tc.code
				router.Subrouter("/ws").Controller(upgrader)
			}, setting{"app.debug", tc.config})
			a.dial("/ws").ExpectClose(websocket.CloseInternalServerErr, tc.want)
			_, body := a.refused("/ws", http.Header{"Origin": {"https://evil.test"}})
			assert.Contains(t, body, tc.reason)
		})
	}
}

// Changes of the options after the registration of the route have no effect.
func TestMessageLimit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config int
		code   int64
		fits   bool
	}{
		{name: "from the configuration", config: 10},
		{name: "off in the configuration", config: 0, fits: true},
		{name: "from the code", config: 0, code: 10},
		{name: "off in the code", config: 10, code: -1, fits: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := start(t, func(_ *goyave.Server, router *goyave.Router) {
				upgrader := websocket.New(&plain{})
				upgrader.MaxMessageSize = tc.code
				router.Subrouter("/ws").Controller(upgrader)
			}, setting{"websocket.maxMessageSize", tc.config})
			client := a.dial("/ws")
			client.WriteText("0123456789")
			client.ExpectText("0123456789")
			client.WriteText("0123456789+")
			if tc.fits {
				client.ExpectText("0123456789+")
			} else {
				client.ExpectClose(websocket.CloseMessageTooBig, "message too big")
			}
		})
	}
}

func TestOptionsReachTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config int
		code   time.Duration
		want   time.Duration
	}{
		{name: "from the configuration", config: 3, want: 3 * time.Second},
		{name: "off in the configuration", config: 0, want: -1},
		{name: "from the code", config: 3, code: time.Minute, want: time.Minute},
		{name: "off in the code", config: 3, code: -5, want: 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			timeouts := make(chan time.Duration, 1)
			a := start(t, func(_ *goyave.Server, router *goyave.Router) {
				upgrader := websocket.New(&plain{serve: func(conn *websocket.Conn, _ *goyave.Request) error {
					timeouts <- conn.GetCloseHandshakeTimeout()
					return nil
				}})
				upgrader.CloseTimeout = tc.code
				router.Subrouter("/ws").Controller(upgrader)
			}, setting{"server.websocketCloseTimeout", tc.config})
			a.dial("/ws").ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
			got := receive(t, timeouts)
			assert.Equal(t, max(tc.want, 0), max(got, 0))
		})
	}
}

// The subprotocols and the marker of BrowserToken go through the Upgrader.
func TestSettings(t *testing.T) {
	pool := &countingPool{}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		upgrader := &websocket.Upgrader{Controller: &plain{serve: func(conn *websocket.Conn, _ *goyave.Request) error {
			for {
				messageType, message, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				if err := conn.Conn.WriteMessage(messageType, message); err != nil { // this write uses the pool
					return err
				}
			}
		}}, Settings: ws.Upgrader{
			Subprotocols:      []string{"v2", "v1"},
			EnableCompression: true,
			WriteBufferPool:   pool,
			Error:             func(http.ResponseWriter, *http.Request, int, error) { panic("not called") },
			CheckOrigin:       func(*http.Request) bool { panic("not called") },
		}}
		router.Subrouter("/ws").Controller(upgrader)
	})
	client := wstest.Dial(t, a.url, "/ws", &wstest.Options{Subprotocols: []string{"v1", "v0"}, Compression: true})
	assert.Equal(t, "v1", client.Subprotocol())
	assert.Contains(t, client.Response.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
	client.WriteText(strings.Repeat("hello ", 1000))
	client.ExpectText(strings.Repeat("hello ", 1000))
	client.Close(websocket.CloseNormalClosure, "")
	assert.Positive(t, pool.got.Load())
	response, _ := a.refused("/ws", http.Header{"Origin": {"https://evil.test"}})
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
}

type countingPool struct{ got atomic.Int32 }

func (p *countingPool) Get() any { p.got.Add(1); return nil }

func (*countingPool) Put(any) {}

// errorHandler passes on the errors of log records.
type errorHandler struct {
	stdslog.Handler
	errs chan<- error
}

func (errorHandler) Enabled(context.Context, stdslog.Level) bool { return true }

func (h errorHandler) Handle(_ context.Context, record stdslog.Record) error {
	record.Attrs(func(a stdslog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok && a.Key == "error" {
			h.errs <- err
		}
		return true
	})
	return nil
}

// Options.Logger gets all records. Upgrader.Logger still returns the server's logger.
func TestLoggerOption(t *testing.T) {
	lines := make(chan error, 10)
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		upgrader := websocket.New(&plain{serve: panicking})
		upgrader.Options.Logger = stdslog.New(errorHandler{stdslog.DiscardHandler, lines})
		router.Subrouter("/ws").Controller(upgrader)
	})
	a.dial("/ws").ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
	err := receive(t, lines)
	var p *root.PanicError
	require.ErrorAs(t, err, &p)
	var traced *errorutil.Error
	require.ErrorAs(t, err, &traced)
	assert.Empty(t, a.log.with("the value"))
	upgrader := websocket.New(&plain{})
	upgrader.Init(a.Server)
	assert.Same(t, a.Server.Logger, upgrader.Logger())
}

// The Upgrader works in memory, without a listener, and with a router outside a server.
func TestRouterInMemory(t *testing.T) {
	a := newApp(t)
	a.RegisterRoutes(at("/ws", &plain{}))
	client := wstest.Dial(t, a.Router(), "/ws?"+url.Values{"a": {"b"}}.Encode(), nil)
	client.WriteBinary(bytes.Repeat([]byte{0}, 100_000))
	client.ExpectBinary(bytes.Repeat([]byte{0}, 100_000))
	client.Close(websocket.CloseNormalClosure, "")
}

// talented is a MessageController with all optional interfaces.
type talented struct {
	byMessage
	refusing
	answers chan int
}

func (*talented) Init(*goyave.Server) {}

func (*talented) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("/{name}", handler)
}
func (*talented) CheckUpgrade(request *goyave.Request) error {
	if request.RouteParams["name"] == "nobody" {
		return &websocket.RefusedError{Status: http.StatusNotFound}
	}
	return nil
}
func (*talented) Subprotocols(*goyave.Request) []string { return []string{"v2"} }
func (ctrl *talented) OnUpgradeError(response *goyave.Response, _ *goyave.Request, status int, _ error) {
	ctrl.answers <- status
	response.Status(status)
}

// A MessageController may have the optional interfaces of a Controller.
func TestMessageControllersHaveTheOptionalInterfaces(t *testing.T) {
	ctrl := &talented{answers: make(chan int, 1)}
	ctrl.refusing.header = http.Header{"X-Talent": {"many"}}
	ctrl.refusing.origin = func(request *goyave.Request) bool { return request.Header().Get("Origin") == "" }
	ctrl.open = func(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
		return nil, websocket.NewCloseError(4000, request.RouteParams["name"]+" speaks "+conn.Subprotocol())
	}
	a := start(t, atMessages("/ws", ctrl))
	client := a.dialWith("/ws/ada", http.Header{"Sec-Websocket-Protocol": {"v2"}})
	assert.Equal(t, "many", client.Response.Header.Get("X-Talent"))
	client.ExpectClose(4000, "ada speaks v2")
	response, _ := a.refused("/ws/nobody", nil)
	assert.Equal(t, http.StatusNotFound, response.StatusCode)
	assert.Equal(t, http.StatusNotFound, receive(t, ctrl.answers))
	response, _ = a.refused("/ws/ada", http.Header{"Origin": {"https://evil.test"}})
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
}

// A connection that was quiet goes on on another goroutine, with the same traces of its failures.
func TestQuietConnectionGoesOn(t *testing.T) {
	failures, closed := make(chan error, 2), make(chan error, 2)
	upgrader := websocket.NewMessages(&toldByMessage{
		byMessage: byMessage{open: func(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
			return &closingHandler{
				MessageHandlerFunc: func(messageType int, message []byte) error {
					if string(message) == "panic" {
						return panicking(conn, request)
					}
					return conn.WriteMessage(messageType, message)
				},
				onClose: func(err error) { closed <- err },
			}, nil
		}},
		onError: func(_ *goyave.Request, err error) { failures <- err },
	})
	upgrader.ParkAfter = time.Millisecond
	a := start(t, func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })
	clients := []*wstest.Client{a.dial("/ws"), a.dial("/ws")}
	for range 3 {
		for _, client := range clients {
			client.WriteText("hello")
			client.ExpectText("hello")
		}
		if runtime.GOOS == "linux" {
			require.Eventually(t, func() bool {
				b := make([]byte, 16<<20)
				return !strings.Contains(string(b[:runtime.Stack(b, true)]), ".ReadOrPark(")
			}, patience, time.Millisecond)
		}
	}
	clients[0].WriteText("panic")
	clients[0].ExpectClose(websocket.CloseInternalServerErr, http.StatusText(http.StatusInternalServerError))
	var p *websocket.PanicError
	require.ErrorAs(t, receive(t, closed), &p)
	failure, ok := receive(t, failures).(*errorutil.Error) //nolint:errorlint // the type itself is promised
	require.True(t, ok)
	assert.Contains(t, failure.StackFrames()[0].Function, "goyave_test.panicking")
	a.stop()
	clients[1].ExpectClose(websocket.CloseGoingAway, shuttingDown)
	require.ErrorIs(t, receive(t, closed), websocket.ErrShutdown)
	assert.Empty(t, failures)
}

func TestNewMessagesNeedsAController(t *testing.T) {
	assert.Panics(t, func() { websocket.NewMessages(nil) })
	assert.Panics(t, func() { websocket.NewMessages((*byMessage)(nil)) })
	both := &websocket.Upgrader{Controller: &plain{}, MessageController: &byMessage{}}
	assert.Panics(t, func() { both.Handler() })
}
