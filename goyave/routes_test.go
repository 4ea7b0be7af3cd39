package websocket_test

import (
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/cors"
	errorutil "goyave.dev/goyave/v5/util/errors"
)

// panicText returns the message of the Goyave error with which f panics, "" if it does not panic.
func panicText(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		if reason := recover(); reason != nil {
			err, ok := reason.(*errorutil.Error)
			require.True(t, ok, "%v", reason)
			text = err.Error()
		}
	}()
	f()
	return ""
}

// A missing controller panics in New or at the registration, and not for the first client.
func TestNilController(t *testing.T) {
	const said = "websocket: the Upgrader's Controller is nil"
	server := newApp(t).Server
	for name, f := range map[string]func(){
		"nil":              func() { websocket.New(nil) },
		"a nil pointer":    func() { websocket.New((*plain)(nil)) },
		"none, Controller": func() { server.Router().Controller(new(websocket.Upgrader)) },
		"none, Handler": func() {
			upgrader := new(websocket.Upgrader)
			upgrader.Init(server)
			upgrader.Handler()
		},
	} {
		assert.Equal(t, said, panicText(t, f), name)
	}
}

// Registering a route that no handshake can reach panics.
func TestRouteOfAnotherMethod(t *testing.T) {
	other := func(response *goyave.Response, _ *goyave.Request) { response.Status(http.StatusNoContent) }
	for _, tc := range []struct {
		name     string
		register func(router *goyave.Router, handler goyave.Handler)
		want     string
	}{
		{name: "GET", register: func(router *goyave.Router, handler goyave.Handler) { router.Get("/{room}", handler) }},
		{name: "GET with CORS", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("", handler).CORS(cors.Default())
		}},
		{name: "GET among others", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Route([]string{http.MethodPost, http.MethodGet}, "", handler)
		}},
		{name: "GET in a subrouter", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Subrouter("/a").Subrouter("/b").Get("", handler)
		}},
		{name: "GET, wrapped", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("", func(response *goyave.Response, request *goyave.Request) { handler(response, request) })
		}},
		{name: "GET, and another route for POST", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("", handler)
			router.Post("", other)
		}},
		{name: "elsewhere", register: func(router *goyave.Router, handler goyave.Handler) {
			router.GetParent().Get("/elsewhere", handler)
		}},
		{name: "none", register: func(*goyave.Router, goyave.Handler) {}},

		{name: "POST", register: func(router *goyave.Router, handler goyave.Handler) { router.Post("/{room}", handler) },
			want: `websocket: RegisterRoute registered POST "/ws/{room}": a WebSocket handshake is a GET request`},
		{name: "POST with CORS", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Post("", handler).CORS(cors.Default())
		}, want: `websocket: RegisterRoute registered POST, OPTIONS "/ws": a WebSocket handshake is a GET request`},
		{name: "POST beside another route for GET", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("", other)
			router.Post("/join", handler)
		}, want: `websocket: RegisterRoute registered POST "/ws/join": a WebSocket handshake is a GET request`},
		{name: "POST in a subrouter", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Subrouter("/a").Subrouter("/b").Post("", handler)
		}, want: `websocket: RegisterRoute registered POST "/ws/a/b": a WebSocket handshake is a GET request`},
		{name: "PUT, wrapped", register: func(router *goyave.Router, handler goyave.Handler) {
			router.Put("", func(response *goyave.Response, request *goyave.Request) { handler(response, request) })
		}, want: `websocket: RegisterRoute registered PUT "/ws": a WebSocket handshake is a GET request`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newApp(t)
			a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
				ws := router.Subrouter("/ws")
				ws.Post("/before", other) // not registered by the controller
				assert.Equal(t, tc.want, panicText(t, func() {
					ws.Controller(websocket.New(&registering{register: tc.register}))
				}))
			})
		})
	}
}
