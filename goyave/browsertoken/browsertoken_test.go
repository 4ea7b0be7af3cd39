package browsertoken_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/goyave/browsertoken"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/auth"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/parse"
	"goyave.dev/goyave/v5/util/testutil"
)

func TestLiftsJWT(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{middleware: []goyave.Middleware{
		log.CombinedLogMiddleware(),
		&browsertoken.Middleware{QueryParam: "access_token", Cookie: "token"},
		auth.Middleware(auth.NewJWTAuthenticator(tokenUsers{})),
	}})
	service, ok := app.Service(auth.JWTServiceName).(*auth.JWTService)
	require.True(t, ok)
	token, err := service.GenerateToken("ada")
	require.NoError(t, err)

	tests := []struct {
		name    string
		path    string
		header  http.Header
		offered []string
	}{
		{name: "as a subprotocol", path: "/ws", offered: []string{"bearer", token}},
		{name: "as a query parameter", path: "/ws?access_token=" + token},
		{name: "as a cookie", path: "/ws", header: http.Header{"Cookie": {"token=" + token}}},
		{name: "as a header, from other clients", path: "/ws", header: http.Header{"Authorization": {"Bearer " + token}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, seen := app.dial(t, tt.path, tt.header, tt.offered...)
			require.NotNil(t, seen.User)
			assert.Equal(t, "ada", seen.User.Name)
			assert.NotContains(t, app.log.access(t), token)
			client.Close(ws.CloseNormalClosure, "")
		})
	}

	t.Run("no token", func(t *testing.T) {
		status, header, _ := app.refused(t, "/ws", nil)
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Contains(t, header.Get("WWW-Authenticate"), "Bearer")
	})
	t.Run("a token of somebody else's making", func(t *testing.T) {
		status, header, _ := app.refused(t, "/ws", &wstest.Options{Subprotocols: []string{"bearer", token[:len(token)-8] + "AAAAAAAA"}})
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Empty(t, header.Values("Sec-WebSocket-Protocol"))
	})
}

// With any order of middleware, neither a log line nor the request of Serve contains the token.
func TestIsGoneWhateverTheOrder(t *testing.T) {
	orders := map[string][]func() goyave.Middleware{}
	parts := map[string]func() goyave.Middleware{
		"log":    log.CombinedLogMiddleware,
		"common": log.CommonLogMiddleware,
		"parse":  func() goyave.Middleware { return &parse.Middleware{} },
		"token":  func() goyave.Middleware { return &browsertoken.Middleware{QueryParam: "token"} },
		"auth":   func() goyave.Middleware { return auth.Middleware(&tokenAuthenticator{}) },
	}
	for _, order := range []string{
		"log parse token auth",
		"parse log token auth",
		"log token parse auth",
		"parse token log auth",
		"token log parse auth",
		"token parse auth log",
		"common token auth parse",
		"parse token auth common",
	} {
		for name := range strings.FieldsSeq(order) {
			orders[order] = append(orders[order], parts[name])
		}
	}
	for order, builders := range orders {
		t.Run(order, func(t *testing.T) {
			var middleware []goyave.Middleware
			for _, build := range builders {
				middleware = append(middleware, build())
			}
			app := startTokenApp(t, tokenAppOptions{middleware: middleware})

			client, seen := app.dial(t, "/ws?a=1&token="+opaqueToken+"&a=%32&b", nil)
			assert.Equal(t, tokenSeen{
				User:  &tokenUser{Name: opaqueToken},
				URL:   "/ws?a=1&a=%32&b",
				URI:   "/ws?a=1&a=%32&b",
				Query: map[string]any{"a": []string{"1", "2"}, "b": ""},
			}, seen)
			logged := app.log.access(t)
			assert.NotContains(t, logged, opaqueToken)
			assert.Contains(t, logged, "/ws?a=1")
			assert.Contains(t, logged, " 101 ")
			client.Close(ws.CloseNormalClosure, "")

			client, seen = app.dial(t, "/ws", nil, "bearer", opaqueToken)
			assert.Equal(t, tokenSeen{
				User:        &tokenUser{Name: opaqueToken},
				Subprotocol: "bearer",
				URL:         "/ws",
				URI:         "/ws",
				Query:       map[string]any{},
			}, seen)
			assert.NotContains(t, app.log.access(t), opaqueToken)
			client.Close(ws.CloseNormalClosure, "")
		})
	}
}

// The log of a request that has no route or is refused does not contain the token either.
func TestIsNotLoggedWithRefusals(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{middleware: []goyave.Middleware{
		log.CombinedLogMiddleware(),
		&browsertoken.Middleware{QueryParam: "token"},
		&parse.Middleware{},
		auth.Middleware(&tokenAuthenticator{}),
	}})
	tests := []struct {
		name string
		path string
		want int
	}{
		{name: "no such route", path: "/nowhere?token=s3cr3t", want: http.StatusNotFound},
		{name: "not a token", path: "/ws?token=s3cr3t!", want: http.StatusBadRequest},
		{name: "not escaped", path: "/ws?token=s3cr3t%zz", want: http.StatusBadRequest},
		{name: "a name that is escaped", path: "/ws?%74oken=s3cr3t%20", want: http.StatusBadRequest},
		{name: "twice", path: "/ws?token=s3cr3t&x=1&token=s3cr3t", want: http.StatusBadRequest},
		{name: "a semicolon", path: "/ws?token=s3cr3t;x=1", want: http.StatusBadRequest},
		{name: "a query that the parser refuses", path: "/ws?token=s3cr3t&a=%zz", want: http.StatusBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, _, _ := app.refused(t, tt.path, nil)
			assert.Equal(t, tt.want, status)
			assert.NotContains(t, app.log.access(t), "s3cr3t")
		})
	}
}

func TestSelectsSubprotocol(t *testing.T) {
	tests := []struct {
		name        string
		subprotocol []string
		header      http.Header
		offered     []string
		want        string
	}{
		{name: "the marker where the application has none", offered: []string{"bearer", opaqueToken}, want: "bearer"},
		{name: "the marker where the application's list is empty", subprotocol: []string{}, offered: []string{"bearer", opaqueToken}, want: "bearer"},
		{name: "the marker where they have none in common", subprotocol: []string{"v2"}, offered: []string{"v1", "bearer", opaqueToken}, want: "bearer"},
		{name: "the application's, offered first", subprotocol: []string{"v2", "v1"}, offered: []string{"v1", "bearer", opaqueToken}, want: "v1"},
		{name: "the application's, offered last", subprotocol: []string{"v2", "v1"}, offered: []string{"bearer", opaqueToken, "v1"}, want: "v1"},
		{name: "the one the application prefers", subprotocol: []string{"v2", "v1"}, offered: []string{"v1", "bearer", opaqueToken, "v2"}, want: "v2"},
		{name: "the one the controller chose", header: http.Header{"Sec-WebSocket-Protocol": {"v1"}}, offered: []string{"v1", "bearer", opaqueToken}, want: "v1"},
		{name: "the marker where the controller chose an empty one", header: http.Header{"Sec-Websocket-Protocol": {""}}, offered: []string{"bearer", opaqueToken}, want: "bearer"},
		{name: "the marker where the controller's choice does not count", subprotocol: []string{"v2"}, header: http.Header{"sec-websocket-protocol": {"v1"}}, offered: []string{"v1", "bearer", opaqueToken}, want: "bearer"},
		{name: "the marker that the application lists", subprotocol: []string{"bearer"}, offered: []string{"bearer", opaqueToken}, want: "bearer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{"X-Kept": {"yes"}}
			maps.Copy(header, tt.header)
			before := header.Clone()
			app := startTokenApp(t, tokenAppOptions{settings: ws.Upgrader{Subprotocols: tt.subprotocol}, header: header})
			client, seen := app.dial(t, "/ws", nil, tt.offered...)
			assert.Equal(t, tt.want, seen.Subprotocol)
			assert.Equal(t, tt.want, client.Subprotocol())
			assert.Equal(t, "yes", client.Response.Header.Get("X-Kept"))
			assert.Equal(t, &tokenUser{Name: opaqueToken}, seen.User)
			assert.NotContains(t, strings.Join(seen.Offered, ","), opaqueToken)
			assert.Equal(t, before, header, "the controller's headers are its own")
			client.Close(ws.CloseNormalClosure, "")
		})
	}
}

// The middleware does not change the negotiation with a client that does not offer the marker.
func TestLeavesOtherSubprotocolsAlone(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{settings: ws.Upgrader{Subprotocols: []string{"v1"}}})
	authorization := http.Header{"Authorization": {"Bearer ada"}}

	client := wstest.Dial(t, app.url, "/ws", &wstest.Options{Header: authorization, Subprotocols: []string{"v2", "Bearer", "token"}})
	assert.Empty(t, client.Response.Header.Values("Sec-WebSocket-Protocol"))
	assert.Equal(t, []string{"v2, Bearer, token"}, (<-app.ctrl.seen).Offered, "the marker is in lower case")
	client.Close(ws.CloseNormalClosure, "")

	_, seen := app.dial(t, "/ws", authorization, "v2", "v1")
	assert.Equal(t, "v1", seen.Subprotocol)
}

// A proxy may send several lines and white space, which no browser sends.
func TestReadsAllLines(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{settings: ws.Upgrader{Subprotocols: []string{"v1"}}})
	for name, lines := range map[string][]string{
		"one line each":       {"bearer", opaqueToken, "v1"},
		"no space":            {"v1,bearer," + opaqueToken},
		"tabs and more space": {" v1\t,\tbearer ,   " + opaqueToken + " "},
		"empty entries":       {"bearer, ,, ", "," + opaqueToken, "", "v1,"},
	} {
		t.Run(name, func(t *testing.T) {
			client := wstest.DialRaw(t, app.url, "/ws", &wstest.Options{Header: http.Header{"Sec-Websocket-Protocol": lines}})
			assert.Equal(t, []string{"v1"}, client.Response.Header.Values("Sec-WebSocket-Protocol"))
			seen := <-app.ctrl.seen
			assert.Equal(t, &tokenUser{Name: opaqueToken}, seen.User)
			assert.Equal(t, []string{"v1"}, seen.Offered)
			client.Send(wstest.Close(ws.CloseNormalClosure, ""))
			client.ExpectClose(ws.CloseNormalClosure, "")
		})
	}
}

// offering is a middleware that adds a line with a subprotocol.
type offering struct {
	goyave.Component
	protocol string
}

func (m *offering) Handle(next goyave.Handler) goyave.Handler {
	return func(response *goyave.Response, request *goyave.Request) {
		request.Header().Add("Sec-WebSocket-Protocol", m.protocol)
		next(response, request)
	}
}

// Lines that other middleware adds count: a real subprotocol on one of them is selected instead of
// the marker.
func TestSelectsFromAllLines(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{
		middleware: []goyave.Middleware{&browsertoken.Middleware{}, &offering{protocol: "v2"}, auth.Middleware(&tokenAuthenticator{})},
		settings:   ws.Upgrader{Subprotocols: []string{"v2"}},
	})
	client := wstest.DialRaw(t, app.url, "/ws", &wstest.Options{Subprotocols: []string{"v1", "bearer", opaqueToken}})
	assert.Equal(t, []string{"v2"}, client.Response.Header.Values("Sec-WebSocket-Protocol"))
	assert.Equal(t, "v2", (<-app.ctrl.seen).Subprotocol)
	client.Send(wstest.Close(ws.CloseNormalClosure, ""))
	client.ExpectClose(ws.CloseNormalClosure, "")
}

func TestPrecedence(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{token: &browsertoken.Middleware{QueryParam: "token", Cookie: "token"}})
	cookie := http.Header{"Cookie": {"token=from-cookie"}}
	tests := []struct {
		name    string
		path    string
		header  http.Header
		offered []string
		want    string
	}{
		{name: "the subprotocol is first", path: "/ws?token=from-query", header: cookie, offered: []string{"bearer", "from-protocol"}, want: "from-protocol"},
		{name: "then the query parameter", path: "/ws?token=from-query", header: cookie, want: "from-query"},
		{name: "then the cookie", path: "/ws", header: cookie, want: "from-cookie"},
		{name: "an empty query parameter is none", path: "/ws?token=&token", header: cookie, want: "from-cookie"},
		{name: "a quoted cookie", path: "/ws", header: http.Header{"Cookie": {`token="quoted"`}}, want: "quoted"},
		{name: "an empty cookie is none", path: "/ws", header: http.Header{"Cookie": {"token=; token=second"}}, want: "second"},
		{name: "an escaped query parameter", path: "/ws?token=a%2Bb%2Fc%3D%3D", want: "a+b/c=="},
		{
			name:    "an Authorization header wins over all",
			path:    "/ws?token=from-query",
			header:  http.Header{"Authorization": {"Bearer from-header"}, "Cookie": {"token=!"}},
			offered: []string{"bearer", "from-protocol"},
			want:    "from-header",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, seen := app.dial(t, tt.path, tt.header, tt.offered...)
			assert.Equal(t, &tokenUser{Name: tt.want}, seen.User)
			assert.Equal(t, "/ws", seen.URL, "it is taken out also where it does not count")
			assert.Equal(t, "/ws", seen.URI)
			assert.Empty(t, seen.Offered)
			assert.Empty(t, seen.Query)
			if tt.header.Get("Cookie") != "" {
				assert.NotEmpty(t, seen.Cookie, "the cookie stays")
			}
			client.Close(ws.CloseNormalClosure, "")
		})
	}

	t.Run("an Authorization header of another scheme stays", func(t *testing.T) {
		status, _, _ := app.refused(t, "/ws", &wstest.Options{
			Header:       http.Header{"Authorization": {"Basic YTpi"}},
			Subprotocols: []string{"bearer", "from-protocol"},
		})
		assert.Equal(t, http.StatusUnauthorized, status)
	})
}

func TestPlacesAreOff(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{})
	status, _, _ := app.refused(t, "/ws?token=a", &wstest.Options{Header: http.Header{"Cookie": {"token=a; =a"}}})
	assert.Equal(t, http.StatusUnauthorized, status)

	_, seen := app.dial(t, "/ws?token=a&=b", http.Header{"Authorization": {"Bearer ada"}})
	assert.Equal(t, "/ws?token=a&=b", seen.URI)
	assert.Equal(t, map[string]any{"token": "a", "": "b"}, seen.Query)
}

func TestRefuses(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{token: &browsertoken.Middleware{QueryParam: "token", Cookie: "token"}})
	const (
		several   = "There is more than one authentication token."
		missing   = `The authentication token after "bearer" is missing.`
		malformed = "Your authentication token is malformed."
	)
	tests := []struct {
		name     string
		path     string
		protocol []string
		cookie   string
		want     string
	}{
		{name: "a marker without a token", protocol: []string{"bearer"}, want: missing},
		{name: "a marker at the end", protocol: []string{"v1, bearer"}, want: missing},
		{name: "a marker and empty entries", protocol: []string{"bearer, ", ","}, want: missing},
		{name: "two markers", protocol: []string{"bearer, a, bearer, b"}, want: several},
		{name: "a marker as the token", protocol: []string{"bearer, bearer"}, want: several},
		{name: "a subprotocol with a space inside", protocol: []string{"bearer, a b"}, want: malformed},
		{name: "a subprotocol with a separator", protocol: []string{"bearer, a=="}, want: malformed},
		{name: "a subprotocol with a slash", protocol: []string{"bearer, a/b"}, want: malformed},
		{name: "a subprotocol that is no b64token", protocol: []string{"bearer, 1|a"}, want: malformed},
		{name: "a subprotocol beyond ASCII", protocol: []string{"bearer, \xc3\xa9"}, want: malformed},
		{name: "a malformed query parameter", path: "?token=a%0d%0ab", want: malformed},
		{name: "a plus sign, which means a space", path: "?token=a+b", want: malformed},
		{name: "only padding", path: "?token=%3D%3D", want: malformed},
		{name: "padding inside", path: "?token=a%3Db", want: malformed},
		{name: "a query parameter with a NUL", path: "?token=a%00", want: malformed},
		{name: "two query parameters", path: "?token=a&token=b", want: several},
		{name: "two equal query parameters", path: "?token=a&token=a", want: several},
		{name: "a malformed query parameter beside a token", path: "?token=a%20b", protocol: []string{"bearer, a"}, want: malformed},
		{name: "a malformed cookie", cookie: "token=a|b", want: malformed},
		{name: "two cookies", cookie: "token=a; token=b", want: several},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.protocol != nil {
				header["Sec-Websocket-Protocol"] = tt.protocol
			}
			if tt.cookie != "" {
				header.Set("Cookie", tt.cookie)
			}
			status, _, body := app.refused(t, "/ws"+tt.path, &wstest.Options{Header: header})
			assert.Equal(t, http.StatusBadRequest, status)
			var answer map[string]string
			require.NoError(t, json.Unmarshal([]byte(body), &answer))
			assert.Equal(t, map[string]string{"error": tt.want}, answer)
		})
	}
}

// The status handler of the application, if any, writes the response.
func TestRefusalIsTheStatusHandlers(t *testing.T) {
	server := testutil.NewTestServerWithOptions(t, goyave.Options{Config: config.LoadDefault()})
	server.Router().StatusHandler(&teapotHandler{}, http.StatusBadRequest)
	server.Router().GlobalMiddleware(&browsertoken.Middleware{})
	server.Router().Get("/", func(*goyave.Response, *goyave.Request) { assert.Fail(t, "it is refused") })
	request := upgradeRequest("/")
	request.Header.Set("Sec-WebSocket-Protocol", "bearer")
	response := server.TestRequest(request)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusTeapot, response.StatusCode)
}

type teapotHandler struct{ goyave.Component }

func (*teapotHandler) Handle(response *goyave.Response, _ *goyave.Request) {
	response.WriteHeader(http.StatusTeapot)
}

func upgradeRequest(target string) *http.Request {
	request := httptest.NewRequest(http.MethodGet, target, http.NoBody)
	request.Header.Set("Connection", "keep-alive, Upgrade")
	request.Header.Set("Upgrade", "WebSocket")
	return request
}

func TestOnlyActsOnUpgrades(t *testing.T) {
	server := testutil.NewTestServerWithOptions(t, goyave.Options{Config: config.LoadDefault()})
	middleware := &browsertoken.Middleware{QueryParam: "token", Cookie: "token"}
	tests := []struct {
		name   string
		change func(*http.Request)
		acts   bool
	}{
		{name: "an upgrade to WebSocket", change: func(*http.Request) {}, acts: true},
		{
			name: "one among other protocols and empty elements, which the Upgrader takes",
			change: func(r *http.Request) {
				r.Header["Upgrade"], r.Header["Connection"] = []string{"TLS/1.0, websocket"}, []string{", ,Upgrade"}
			},
			acts: true,
		},
		{name: "no upgrade", change: func(r *http.Request) { r.Header.Del("Upgrade") }},
		{name: "no Connection header", change: func(r *http.Request) { r.Header.Del("Connection") }},
		{name: "an upgrade to something else", change: func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }},
		{name: "a POST that asks for an upgrade", change: func(r *http.Request) { r.Method = http.MethodPost }},
		{name: "a HEAD that asks for an upgrade", change: func(r *http.Request) { r.Method = http.MethodHead }},
	}
	for _, tt := range tests {
		for where, give := range map[string]func(*http.Request){
			"subprotocol": func(r *http.Request) { r.Header.Set("Sec-WebSocket-Protocol", "v1, bearer, a") },
			"query":       func(r *http.Request) { r.URL.RawQuery, r.RequestURI = "token=a", "/?token=a" },
			"cookie":      func(r *http.Request) { r.Header.Set("Cookie", "token=a") },
		} {
			t.Run(tt.name+", "+where, func(t *testing.T) {
				raw := upgradeRequest("/")
				give(raw)
				tt.change(raw)
				before := raw.Clone(t.Context())
				request := server.NewTestRequest(raw.Method, "/", http.NoBody)
				*request.Request() = *raw
				called := false
				response := server.TestMiddleware(middleware, request, func(_ *goyave.Response, request *goyave.Request) {
					called = true
					if tt.acts {
						assert.Equal(t, "Bearer a", request.Header().Get("Authorization"))
						assert.Empty(t, request.URL().RawQuery)
						assert.Equal(t, "/", request.Request().RequestURI)
						assert.NotContains(t, request.Header().Get("Sec-WebSocket-Protocol"), "a")
						return
					}
					assert.Equal(t, before.Header, request.Header())
					assert.Equal(t, before.URL, request.URL())
					assert.Equal(t, before.RequestURI, request.Request().RequestURI)
				})
				require.NoError(t, response.Body.Close())
				require.True(t, called)
			})
		}
	}
}

// The token is also removed from a query that was parsed earlier.
func TestIsGoneFromForm(t *testing.T) {
	server := testutil.NewTestServerWithOptions(t, goyave.Options{Config: config.LoadDefault()})
	request := server.NewTestRequest(http.MethodGet, "/", http.NoBody)
	*request.Request() = *upgradeRequest("/?a=1&token=secret")
	require.NoError(t, request.Request().ParseForm())
	request.Query = map[string]any{"a": "1", "token": "secret"}
	response := server.TestMiddleware(&browsertoken.Middleware{QueryParam: "token"}, request, func(_ *goyave.Response, request *goyave.Request) {
		assert.Equal(t, url.Values{"a": {"1"}}, request.Request().Form)
		assert.Equal(t, map[string]any{"a": "1"}, request.Query)
		assert.Equal(t, "a=1", request.URL().RawQuery)
	})
	require.NoError(t, response.Body.Close())
}

// The middleware may be used twice, globally and on a route.
func TestTwice(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{middleware: slices.Concat(
		[]goyave.Middleware{&browsertoken.Middleware{}, &browsertoken.Middleware{QueryParam: "token"}},
		[]goyave.Middleware{auth.Middleware(&tokenAuthenticator{})},
	)})
	_, seen := app.dial(t, "/ws", nil, "bearer", opaqueToken)
	assert.Equal(t, &tokenUser{Name: opaqueToken}, seen.User)
	assert.Equal(t, "bearer", seen.Subprotocol)
}

// The negotiations of concurrent clients are independent.
func TestIsOfOneRequest(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{settings: ws.Upgrader{Subprotocols: []string{"v1"}}})
	app.ctrl.seen = make(chan tokenSeen, 20)
	for i := range 20 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			offered, want := []string{"bearer", opaqueToken}, "bearer"
			if i%2 == 0 {
				offered, want = append(offered, "v1"), "v1"
			}
			client := wstest.Dial(t, app.url, "/ws", &wstest.Options{Subprotocols: offered})
			assert.Equal(t, want, client.Subprotocol())
			client.Close(ws.CloseNormalClosure, "")
		})
	}
}

// No part of the response contains the token.
func TestIsNotInTheAnswer(t *testing.T) {
	app := startTokenApp(t, tokenAppOptions{token: &browsertoken.Middleware{QueryParam: "token"}})
	client := wstest.DialRaw(t, app.url, "/ws?token=from-query", &wstest.Options{Subprotocols: []string{"bearer", "from-protocol"}})
	var answer bytes.Buffer
	require.NoError(t, client.Response.Header.Write(&answer))
	assert.NotContains(t, answer.String(), "from-")
	assert.Equal(t, "from-protocol", (<-app.ctrl.seen).User.Name)
	client.Send(wstest.Close(ws.CloseNormalClosure, ""))
	client.ExpectClose(ws.CloseNormalClosure, "")
	client.ExpectEnd()
}
