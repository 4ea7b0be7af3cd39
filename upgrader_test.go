package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMounting(t *testing.T) {
	mounts := []struct {
		name    string
		handler func() http.Handler
	}{
		{name: "on a ServeMux", handler: func() http.Handler {
			mux := http.NewServeMux()
			websocket.New(websocket.ControllerFunc(testws.Echo)).RegisterRoutes(mux, "/ws")
			return mux
		}},
		{name: "on a ServeMux, under a host", handler: func() http.Handler {
			mux := http.NewServeMux()
			websocket.New(websocket.ControllerFunc(testws.Echo)).RegisterRoutes(mux, "example.com/ws")
			return mux
		}},
		{name: "as a handler", handler: func() http.Handler {
			return websocket.New(websocket.ControllerFunc(testws.Echo))
		}},
		{name: "as a literal", handler: func() http.Handler {
			return &websocket.Upgrader{Controller: websocket.ControllerFunc(testws.Echo)}
		}},
		{name: "as a controller with a struct", handler: func() http.Handler {
			return websocket.New(&testws.Controller{ServeFunc: testws.Echo})
		}},
	}
	for _, tt := range mounts {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				client := wstest.Dial(t, serve(tt.handler()), "/ws", &wstest.Options{Header: http.Header{"Host": {"example.com"}}})
				require.Equal(t, http.StatusSwitchingProtocols, client.Response.StatusCode)
				client.WriteText("hello, 世界")
				client.ExpectText("hello, 世界")
				client.WriteBinary(bytes.Repeat([]byte{0, 1, 0xfe, 0xff}, 50_000))
				client.ExpectBinary(bytes.Repeat([]byte{0, 1, 0xfe, 0xff}, 50_000))
				client.Close(websocket.CloseNormalClosure, "bye")
			}, testws.Memory, testws.TCP, testws.TLS)
		})
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	upgrader := &websocket.Upgrader{Controller: websocket.ControllerFunc(testws.Echo)}
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
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
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
	}, testws.Memory, testws.TCP, testws.TLS)
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

// registrer registers itself under another pattern, behind a middleware.
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
	require.Equal(t, http.StatusNotFound, testws.DialRefused(t, server, "/ws", nil).Status, "the route is the controller's own alone")
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
				websocket.New(websocket.ControllerFunc(testws.Echo)).RegisterRoutes(http.NewServeMux(), tt.pattern)
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
	mux := testws.BesidesAlive(http.NotFoundHandler())
	websocket.New(websocket.ControllerFunc(testws.Echo)).RegisterRoutes(mux, "/route")
	conn := testws.DialHTTP(t, wstest.Serve(t, mux))
	request := func(method string, upgrade bool) *http.Request {
		return testws.UpgradeRequest(func(r *http.Request) {
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
		{name: "HEAD without", request: request(http.MethodHead, false), status: http.StatusUpgradeRequired},
		{name: "GET without", request: request(http.MethodGet, false), status: http.StatusUpgradeRequired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response := conn.Do(tt.request)
			require.Equal(t, tt.status, response.Status)
			conn.ExpectAlive()
		})
	}
	response := conn.Do(request(http.MethodGet, true))
	require.Equal(t, http.StatusSwitchingProtocols, response.Status)
}

// A missing controller is found when the Upgrader is made or mounted, not by the first
// client.
func TestNilController(t *testing.T) {
	const said = "websocket: the Upgrader's Controller is nil"
	require.PanicsWithValue(t, said, func() { websocket.New(nil) })
	require.PanicsWithValue(t, said, func() { websocket.New(websocket.ControllerFunc(nil)) })
	require.PanicsWithValue(t, said, func() { new(websocket.Upgrader).RegisterRoutes(http.NewServeMux(), "/") })
	require.PanicsWithValue(t, said, func() {
		new(websocket.Upgrader).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	})
}

// Shutdown and Stats work without a controller, because deferred functions call them after
// anything has failed.
func TestNothingIsAskedOfANilController(t *testing.T) {
	u := new(websocket.Upgrader)
	assert.Zero(t, u.Stats())
	require.NoError(t, u.Shutdown(t.Context()))
}

// A refusal with 500 is a mistake of the server, and the client does not receive the
// reason: it must be logged for the operator.
func TestServersOwnFaultIsLogged(t *testing.T) {
	var log testws.Logs
	u := websocket.New(websocket.ControllerFunc(testws.Echo))
	u.Logger = log.Logger()
	w := httptest.NewRecorder() // which can't be hijacked
	u.ServeHTTP(w, testws.UpgradeRequest(nil))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	assert.JSONEq(t, `{"error": "Internal Server Error"}`, w.Body.String())
	entries := log.All()
	require.Len(t, entries, 1)
	assert.Equal(t, slog.LevelError, entries[0].Level)
	require.ErrorContains(t, entries[0].Err, "can't be taken over")
	assert.EqualValues(t, http.StatusInternalServerError, entries[0].Attrs["status"].Int64())
	assert.NotEmpty(t, entries[0].Attrs["remote"].String())
}
