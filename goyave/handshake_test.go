package websocket_test

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/browsertoken"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/middleware/parse"
	errorutil "goyave.dev/goyave/v5/util/errors"
)

// with mounts one controller, with options and settings.
func with(ctrl websocket.Controller, options websocket.Options, settings ws.Upgrader) func(*goyave.Server, *goyave.Router) {
	return func(_ *goyave.Server, router *goyave.Router) {
		upgrader := websocket.New(ctrl)
		upgrader.Options, upgrader.Settings = options, settings
		router.Subrouter("/ws").Controller(upgrader)
	}
}

func TestAllowedOrigins(t *testing.T) {
	config := setting{"websocket.allowedOrigins", []string{"config.test", "https://*.config.test"}}
	nobody := &refusing{origin: func(*goyave.Request) bool { return false }}
	for _, tc := range []struct {
		name     string
		ctrl     websocket.Controller
		options  websocket.Options
		settings []setting
		allowed  []string
		refused  []string
	}{
		{
			name: "those of the configuration, beside the server's own", settings: []setting{config, {"server.domain", "example.test"}},
			allowed: []string{"https://config.test", "https://www.config.test", "https://example.test", "http://HOST"},
			refused: []string{"http://www.config.test", "https://evil.test", "null"},
		},
		{
			name: "those of the code, beside the server's own", settings: []setting{config, {"server.domain", "example.test"}},
			options: websocket.Options{AllowedOrigins: []string{"code.test"}},
			allowed: []string{"https://code.test", "https://example.test", "http://HOST"},
			refused: []string{"https://config.test"},
		},
		{
			name: "none in the code, whatever the configuration says", settings: []setting{config},
			options: websocket.Options{AllowedOrigins: []string{}},
			allowed: []string{"http://HOST"},
			refused: []string{"https://config.test"},
		},
		{
			name: "all", options: websocket.Options{InsecureSkipOriginCheck: true},
			allowed: []string{"https://evil.test", "null"},
		},
		{
			name: "the controller decides alone", ctrl: nobody, settings: []setting{config},
			options: websocket.Options{InsecureSkipOriginCheck: true},
			refused: []string{"https://config.test", "http://HOST"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.ctrl == nil {
				tc.ctrl = &plain{}
			}
			a := start(t, with(tc.ctrl, tc.options, ws.Upgrader{}), tc.settings...)
			header := func(origin string) http.Header {
				return http.Header{"Origin": {strings.ReplaceAll(origin, "HOST", a.Host())}}
			}
			for _, origin := range tc.allowed {
				a.dialWith("/ws", header(origin)).Close(websocket.CloseNormalClosure, "")
			}
			for _, origin := range tc.refused {
				response, _ := a.refused("/ws", header(origin))
				assert.Equal(t, http.StatusForbidden, response.StatusCode, origin)
			}
		})
	}
}

func TestMaxConnections(t *testing.T) {
	reasons := make(chan error, 1)
	ctrl := &answering{answer: func(response *goyave.Response, _ *goyave.Request, status int, reason error) {
		reasons <- reason
		response.Status(status)
	}}
	upgrader := websocket.New(ctrl)
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/ws").Controller(upgrader)
		router.Subrouter("/other").Controller(websocket.New(&plain{}))
	}, setting{"websocket.maxConnections", 1})
	first := a.dial("/ws")
	response, _ := a.refused("/ws", nil)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.Equal(t, "5", response.Header.Get("Retry-After"))
	require.ErrorIs(t, receive(t, reasons), websocket.ErrTooManyConnections)
	a.dial("/other").Close(websocket.CloseNormalClosure, "")

	first.Close(websocket.CloseNormalClosure, "")
	require.Eventually(t, func() bool { return upgrader.Stats().Open == 0 }, patience, time.Millisecond)
	a.dial("/ws").Close(websocket.CloseNormalClosure, "")
}

// checking is a controller with an UpgradeChecker.
type checking struct {
	plain
	check func(request *goyave.Request) error
}

func (ctrl *checking) CheckUpgrade(request *goyave.Request) error { return ctrl.check(request) }

func TestCheckUpgrade(t *testing.T) {
	full := errors.New("the room is full")
	refuse := func(status int) error { return &websocket.RefusedError{Status: status, Reason: full} }
	for _, tc := range []struct {
		name       string
		err        error
		want       int
		retryAfter string
		logged     string
	}{
		{name: "nothing to say", want: http.StatusSwitchingProtocols},
		{name: "too often", err: refuse(http.StatusTooManyRequests), want: http.StatusTooManyRequests, retryAfter: "5"},
		{name: "too often, for a minute", err: &websocket.RefusedError{Status: http.StatusTooManyRequests, RetryAfter: time.Minute}, want: http.StatusTooManyRequests, retryAfter: "60"},
		{name: "forbidden", err: refuse(http.StatusForbidden), want: http.StatusForbidden},
		{name: "no status", err: refuse(0), want: http.StatusForbidden},
		{name: "wrapped by Goyave", err: errorutil.New(refuse(http.StatusConflict)), want: http.StatusConflict},
		{name: "out of order", err: refuse(http.StatusInternalServerError), want: http.StatusInternalServerError, logged: "the room is full"},
		{name: "an error", err: full, want: http.StatusInternalServerError, logged: "the room is full"},
		{name: "an impossible status", err: refuse(http.StatusOK), want: http.StatusInternalServerError, logged: "status 200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := start(t, with(&checking{check: func(request *goyave.Request) error {
				assert.Equal(t, "yes", request.Header().Get("X-Asked"))
				return tc.err
			}}, websocket.Options{MaxConnections: 1}, ws.Upgrader{}))
			header := http.Header{"X-Asked": {"yes"}}
			if tc.want == http.StatusSwitchingProtocols {
				a.dialWith("/ws", header).Close(websocket.CloseNormalClosure, "")
				return
			}
			response, body := a.refused("/ws", header)
			assert.Equal(t, tc.want, response.StatusCode)
			assert.JSONEq(t, `{"error": "`+http.StatusText(tc.want)+`"}`, body)
			assert.Equal(t, tc.retryAfter, response.Header.Get("Retry-After"))
			if tc.logged != "" {
				assert.Equal(t, "ERROR", a.log.wait(t, tc.logged)["level"])
			}
		})
	}
}

// Goyave recovers a panic of CheckUpgrade, and the request does not count for MaxConnections.
func TestCheckUpgradePanics(t *testing.T) {
	a := start(t, with(&checking{check: func(request *goyave.Request) error {
		if request.Header().Get("X-Good") == "" {
			panic("unchecked")
		}
		return nil
	}}, websocket.Options{MaxConnections: 1}, ws.Upgrader{}))
	for range 2 {
		response, _ := a.refused("/ws", nil)
		assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	}
	a.log.wait(t, "unchecked")
	a.dialWith("/ws", http.Header{"X-Good": {"yes"}}).Close(websocket.CloseNormalClosure, "")
}

// listing is a controller whose subprotocols depend on the request.
type listing struct {
	plain
	list   func(request *goyave.Request) []string
	header http.Header
}

func (ctrl *listing) Subprotocols(request *goyave.Request) []string { return ctrl.list(request) }

func (ctrl *listing) UpgradeHeaders(*goyave.Request) http.Header { return ctrl.header }

func TestSubprotocolLister(t *testing.T) {
	ctrl := &listing{list: func(request *goyave.Request) []string {
		version, _ := request.Query["version"].(string)
		return map[string][]string{"2": {"chat.v2"}, "none": {}}[version]
	}}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(&parse.Middleware{}, &browsertoken.Middleware{})
		with(ctrl, websocket.Options{}, ws.Upgrader{Subprotocols: []string{"chat.v1"}})(nil, router)
	})
	for _, tc := range []struct {
		path    string
		offered []string
		want    string
	}{
		{path: "/ws", offered: []string{"chat.v2", "chat.v1"}, want: "chat.v1"},
		{path: "/ws?version=2", offered: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{path: "/ws?version=none", offered: []string{"chat.v1"}},
		{path: "/ws", offered: []string{"chat.v2", "chat.v1"}, want: "chat.v1"}, // the settings are unchanged
		{path: "/ws?version=2", offered: []string{"bearer", "token", "chat.v2"}, want: "chat.v2"},
		{path: "/ws?version=2", offered: []string{"bearer", "token", "chat.v1"}, want: "bearer"},
		{path: "/ws?version=none", offered: []string{"bearer", "token", "chat.v1"}, want: "bearer"},
	} {
		client := wstest.Dial(t, a.url, tc.path, &wstest.Options{Subprotocols: tc.offered, Timeout: patience})
		assert.Equal(t, tc.want, client.Subprotocol(), "%s %v", tc.path, tc.offered)
		client.Close(websocket.CloseNormalClosure, "")
	}
}

// Options.Subprotocols override Settings.Subprotocols, with and without a token in front of them.
func TestSubprotocolsOfTheOptions(t *testing.T) {
	var list []string
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(&browsertoken.Middleware{})
		ctrl := &listing{list: func(*goyave.Request) []string { return list }}
		with(ctrl, websocket.Options{Subprotocols: []string{"v2"}, EnableCompression: true}, ws.Upgrader{Subprotocols: []string{"v1"}})(nil, router)
	})
	for _, tc := range []struct {
		name    string
		list    []string
		offered []string
		want    string
	}{
		{name: "no token", offered: []string{"v1", "v2"}, want: "v2"},
		{name: "no token, and none in common", offered: []string{"v1"}},
		{name: "a token", offered: []string{"bearer", "s3cr3t", "v1", "v2"}, want: "v2"},
		{name: "a token, and none in common", offered: []string{"bearer", "s3cr3t", "v1"}, want: "bearer"},
		{name: "the controller's list", list: []string{"v3"}, offered: []string{"bearer", "s3cr3t", "v2", "v3"}, want: "v3"},
		{name: "the controller's list, and none in common", list: []string{"v3"}, offered: []string{"bearer", "s3cr3t", "v2"}, want: "bearer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list = tc.list
			client := wstest.Dial(t, a.url, "/ws", &wstest.Options{Subprotocols: tc.offered, Compression: true, Timeout: patience})
			assert.Equal(t, tc.want, client.Subprotocol())
			assert.Contains(t, client.Response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
			client.Close(websocket.CloseNormalClosure, "")
		})
	}
}

// The marker of BrowserToken does not satisfy RequireSubprotocol.
func TestRequireSubprotocol(t *testing.T) {
	for _, tc := range []struct {
		name    string
		ours    []string
		list    []string
		header  http.Header
		offered []string
		want    string   // "": refused
		reasons []string // parts of the reason
	}{
		{name: "one in common", ours: []string{"v1"}, offered: []string{"v1"}, want: "v1"},
		{name: "one in common, after the token", ours: []string{"v1"}, offered: []string{"bearer", "s3cr3t", "v1"}, want: "v1"},
		{name: "none in common", ours: []string{"v1"}, offered: []string{"v2"}, reasons: []string{`["v2"]`, `["v1"]`}},
		{name: "only the marker", ours: []string{"v1"}, offered: []string{"bearer", "s3cr3t"}, reasons: []string{`offers []`, `["v1"]`}},
		{name: "the marker, and none in common", ours: []string{"v1"}, offered: []string{"bearer", "s3cr3t", "v2"}, reasons: []string{`["v2"]`, `["v1"]`}},
		{name: "only the marker, and the server has none", offered: []string{"bearer", "s3cr3t"}, reasons: []string{"offers []", "has []"}},
		{name: "the controller's list", list: []string{"v2"}, offered: []string{"bearer", "s3cr3t", "v2"}, want: "v2"},
		{name: "the headers' choice", header: http.Header{"Sec-WebSocket-Protocol": {"v1"}}, offered: []string{"v1", "bearer", "s3cr3t"}, want: "v1"},
		{name: "the headers' choice that was not offered", header: http.Header{"Sec-WebSocket-Protocol": {"v1"}}, offered: []string{"v2", "bearer", "s3cr3t"}, reasons: []string{`["v2"]`, `["v1"]`}},
		{name: "the marker as the headers' choice", header: http.Header{"Sec-Websocket-Protocol": {"bearer"}}, offered: []string{"bearer", "s3cr3t"}, reasons: []string{"offers []"}},
		{name: "the marker that the application lists", ours: []string{"bearer"}, offered: []string{"bearer", "s3cr3t"}, reasons: []string{"offers []"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctrl := &listing{header: tc.header, list: func(*goyave.Request) []string { return tc.list }}
			a := start(t, func(_ *goyave.Server, router *goyave.Router) {
				router.GlobalMiddleware(&browsertoken.Middleware{})
				options := websocket.Options{RequireSubprotocol: true, Debug: true}
				with(ctrl, options, ws.Upgrader{Subprotocols: tc.ours})(nil, router)
			})
			before := maps.Clone(tc.header)
			if tc.want != "" {
				client := wstest.Dial(t, a.url, "/ws", &wstest.Options{Subprotocols: tc.offered, Timeout: patience})
				assert.Equal(t, tc.want, client.Subprotocol())
				client.Close(websocket.CloseNormalClosure, "")
				return
			}
			response, body := a.refused("/ws", http.Header{"Sec-WebSocket-Protocol": {strings.Join(tc.offered, ", ")}})
			assert.Equal(t, http.StatusBadRequest, response.StatusCode)
			for _, mentioned := range tc.reasons {
				assert.Contains(t, strings.ReplaceAll(body, `\"`, `"`), mentioned)
			}
			assert.NotContains(t, body, "s3cr3t")
			assert.Equal(t, before, tc.header, "the controller's headers are its own")
		})
	}
}

// The response to a request that is no handshake explains that this is a WebSocket endpoint, and so
// does the log.
func TestRequestThatIsNoHandshake(t *testing.T) {
	for _, debug := range []bool{false, true} {
		upgrader := websocket.New(&plain{})
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.Subrouter("/ws").Controller(upgrader)
		}, setting{"app.debug", debug})
		response, body := a.answer(http.MethodGet, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
		assert.Equal(t, "websocket", response.Header.Get("Upgrade"))
		assert.Equal(t, "13", response.Header.Get("Sec-Websocket-Version"))
		assert.JSONEq(t, `{"error": "websocket: the client is not using the websocket protocol, and this is a WebSocket endpoint: `+
			`'upgrade' token not found in 'Connection' header"}`, body)
		logged := a.log.with("this is a WebSocket endpoint")
		require.Len(t, logged, 1)
		assert.Equal(t, "DEBUG", logged[0]["level"])
		assert.Equal(t, "/ws", logged[0]["route"])
		assert.InDelta(t, http.StatusUpgradeRequired, logged[0]["status"], 0)
		assert.Equal(t, map[int]uint64{http.StatusUpgradeRequired: 1}, upgrader.Stats().Refusals)
	}
}

// The upgrade does not wait for the declared body of a request.
func TestBodyIsNotWaitedFor(t *testing.T) {
	a := start(t, at("/ws", &plain{}))
	for _, body := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", a.Host())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+body+"\r\n\r\n")
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second))) // half of Goyave's read timeout
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
		assert.True(t, response.Close)
		require.NoError(t, conn.Close())
		require.NoError(t, response.Body.Close())
	}
}

// Invalid subprotocols are a mistake of the application.
func TestSubprotocolsThatAreNone(t *testing.T) {
	for _, list := range [][]string{{""}, {"chat v2"}, {"a", "a"}} {
		upgrader := websocket.New(&plain{})
		upgrader.Settings.Subprotocols = list
		require.ErrorContains(t, upgrader.Validate(), "subprotocol")
		a := newApp(t)
		assert.PanicsWithError(t, upgrader.Validate().Error(), func() {
			a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) { router.Controller(upgrader) })
		})

		a = start(t, with(&listing{list: func(*goyave.Request) []string { return list }}, websocket.Options{}, ws.Upgrader{}))
		response, _ := a.refused("/ws", nil)
		assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
		a.log.wait(t, "subprotocol")
	}
}

func TestCompressionOptions(t *testing.T) {
	message := strings.Repeat("x", 100)
	for _, tc := range []struct {
		name     string
		settings []setting
		want     bool
	}{
		{name: "by default it is too short"},
		{name: "a lower threshold", settings: []setting{{"websocket.compressionThreshold", 100}}, want: true},
		{name: "no threshold", settings: []setting{{"websocket.compressionThreshold", 0}}, want: true},
		{name: "no compression", settings: []setting{{"websocket.compressionThreshold", 0}, {"websocket.compressionLevel", 0}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := start(t, with(&plain{}, websocket.Options{}, ws.Upgrader{EnableCompression: true}), tc.settings...)
			client := wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Compression: true, Timeout: patience})
			client.Send(wstest.Text(message))
			frame, err := client.Receive()
			require.NoError(t, err)
			assert.Equal(t, tc.want, frame.RSV == 4)
			client.Send(wstest.Close(websocket.CloseNormalClosure, ""))
			client.ExpectClose(websocket.CloseNormalClosure, "")
		})
	}
}
