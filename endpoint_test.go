package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
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

func TestStatsOfOpenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
		server := wstest.Serve(t, upgrader)
		require.Equal(t, websocket.Stats{}, upgrader.Stats())

		counts := func(open int, upgrades uint64) {
			t.Helper()
			synctest.Wait() // a client may have its answer before the server has counted
			stats := upgrader.Stats()
			require.Equal(t, open, stats.Open)
			require.Equal(t, upgrades, stats.Upgrades)
		}
		first, second := wstest.Dial(t, server, "/", nil), wstest.Dial(t, server, "/", nil)
		counts(2, 2)
		testws.DialRefused(t, server, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}})
		counts(2, 2)

		first.Close(websocket.CloseNormalClosure, "")
		counts(1, 2)

		require.NoError(t, second.Conn.Close())
		counts(0, 2)

		wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
		require.NoError(t, upgrader.Shutdown(t.Context()))
		counts(0, 3)
		testws.DialRefused(t, server, "/", nil)
		counts(0, 3)
	})
}

// adapter is the minimum that a framework needs to use an Endpoint.
type adapter struct {
	endpoint  websocket.Endpoint
	handshake websocket.Handshake
	serve     func(conn *websocket.Conn) error
	open      func(conn *websocket.Conn) (websocket.MessageHandler, error) // in place of serve
	told      testws.ErrorList
	accepted  testws.ErrorList // what Accept returned
}

func (a *adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := a.handshake
	h.Refuse = func(status int, reason error) { http.Error(w, reason.Error(), status) }
	conn, err := a.endpoint.Accept(w, r, h)
	a.accepted.Add(err)
	if err != nil {
		return
	}
	if a.open != nil {
		a.endpoint.RunMessages(conn, func() (websocket.MessageHandler, error) { return a.open(conn) }, a.told.Add)
		return
	}
	a.endpoint.Run(conn, func() error { return a.serve(conn) }, a.told.Add)
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
		synctest.Wait() // a frame is counted when its write returns
		require.Equal(t, websocket.Stats{Open: 1, Upgrades: 1, MessagesSent: 1, BytesSent: 7}, a.endpoint.Stats())
		client.WriteText("go on")
		client.ExpectClose(websocket.CloseInternalServerErr, http.StatusText(http.StatusInternalServerError))
		require.Equal(t, []error{failed}, a.told.All(), "told before the close frame is sent")

		client = wstest.Dial(t, server, "/", nil)
		client.ExpectText("hello")
		client.Close(websocket.CloseGoingAway, "")
		require.NoError(t, a.endpoint.Shutdown(t.Context()))
		require.Equal(t, []error{failed}, a.told.All(), "a goodbye is no failure")

		response := testws.DialRefused(t, server, "/", nil)
		require.Equal(t, http.StatusServiceUnavailable, response.Status)
		require.Equal(t, "5", response.Header.Get("Retry-After"))
		require.Equal(t, []error{nil, nil, websocket.ErrShutdown}, a.accepted.All())
	})
}

// An adapter's Guard calls the functions of a connection. The errors that it returns are
// reported in place of theirs.
func TestEndpointGuard(t *testing.T) {
	fails := func() error { return testws.ErrDatabase }
	for _, c := range []struct {
		name string
		call func() error // in each place
		want string
	}{
		{name: "an error", call: fails, want: "guarded: database is away"},
		{name: "a panic that is recovered", call: func() error { panic("oh") }, want: "websocket: panic: made of oh"},
		{name: "a panic that is let pass", call: func() error { panic(testws.ErrDatabase) }, want: "websocket: panic: database is away"},
		{name: "Goexit", call: func() error { runtime.Goexit(); return nil }, want: "websocket: controller left by runtime.Goexit"},
	} {
		must := func() {
			if err := c.call(); err != nil {
				panic(err)
			}
		}
		handled := func(h *testws.MessageHandler) *adapter {
			return &adapter{open: func(*websocket.Conn) (websocket.MessageHandler, error) { return h, nil }}
		}
		for place, a := range map[string]*adapter{
			"Go": {serve: func(conn *websocket.Conn) error {
				conn.Go(func(context.Context) error { return c.call() })
				return testws.ReadLoop(testws.Wrapped)(conn, nil)
			}},
			"BeforeClose": {serve: func(conn *websocket.Conn) error {
				conn.BeforeClose(must)
				return nil
			}},
			"Open":      {open: func(*websocket.Conn) (websocket.MessageHandler, error) { return nil, c.call() }},
			"OnMessage": handled(&testws.MessageHandler{MessageFunc: func(int, []byte) error { return c.call() }}),
			"OnClose": handled(&testws.MessageHandler{
				MessageFunc: func(int, []byte) error { return websocket.NewCloseError(websocket.CloseNormalClosure, "") },
				CloseFunc:   func(error) { must() },
			}),
		} {
			t.Run(c.name+"/"+place, func(t *testing.T) {
				a.endpoint.Guard(func(call func() error) (err error) {
					defer func() {
						if reason := recover(); reason == "oh" {
							err = &websocket.PanicError{Value: "made of oh"}
						} else if reason != nil {
							panic(reason)
						}
					}()
					if err := call(); err != nil {
						return fmt.Errorf("guarded: %w", err)
					}
					return nil
				})
				client := wstest.DialRaw(t, a, "/", nil)
				_, _ = client.Write(wstest.Text("hello").Bytes()) // it may be closed already
				frame, err := client.Receive()
				require.NoError(t, err)
				require.Equal(t, wstest.OpClose, frame.Opcode)
				_ = client.Conn.Close()
				require.NoError(t, a.endpoint.Shutdown(t.Context()))
				require.Len(t, a.told.All(), 1)
				want := c.want
				if (place == "BeforeClose" || place == "OnClose") && c.name == "an error" {
					want = "websocket: panic: database is away" // it has none to return
				}
				require.EqualError(t, a.told.All()[0], want)
			})
		}
	}
}

func TestEndpointHandshake(t *testing.T) {
	for _, tt := range []struct {
		name      string
		handshake websocket.Handshake
		origin    string
		refused   bool

		subprotocol string
	}{
		{name: "the same origin, without a CheckOrigin", origin: "http://wstest"},
		{name: "another origin, without a CheckOrigin", origin: "https://evil.test", refused: true},
		{name: "another origin, with a CheckOrigin", origin: "https://partner.test", handshake: websocket.Handshake{CheckOrigin: func() bool { return true }}},
		{name: "the same origin, with a CheckOrigin", origin: "http://wstest", handshake: websocket.Handshake{CheckOrigin: func() bool { return false }}, refused: true},
		{name: "Settings and a Header", origin: "http://wstest", subprotocol: "chat", handshake: websocket.Handshake{
			Settings: &ws.Upgrader{Subprotocols: []string{"chat"}},
			Header:   http.Header{"X-Served-By": {"me"}},
		}},
		{name: "subprotocols of the request", origin: "http://wstest", subprotocol: "chat", handshake: websocket.Handshake{
			Settings:     &ws.Upgrader{Subprotocols: []string{"mqtt"}},
			Subprotocols: []string{"chat"},
		}},
		{name: "a subprotocol that nobody offers", origin: "http://wstest", subprotocol: "bearer", handshake: websocket.Handshake{
			Subprotocols: []string{"chat"},
			Subprotocol:  "bearer",
			Header:       http.Header{"Sec-WebSocket-Protocol": {"chat"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &adapter{handshake: tt.handshake, serve: func(conn *websocket.Conn) error { return testws.Echo(conn, nil) }}
			options := &wstest.Options{Header: http.Header{"Origin": {tt.origin}}, Subprotocols: []string{"chat"}}
			if tt.refused {
				require.Equal(t, http.StatusForbidden, testws.DialRefused(t, a, "/", options).Status)
				require.Len(t, a.accepted.All(), 1)
				require.ErrorContains(t, a.accepted.All()[0], tt.origin)
				testws.RequireIdle(t, &a.endpoint)
				return
			}
			client := wstest.Dial(t, a, "/", options)
			require.Equal(t, tt.handshake.Header.Get("X-Served-By"), client.Response.Header.Get("X-Served-By"))
			require.Equal(t, tt.subprotocol, client.Subprotocol())
			client.WriteText("hello")
			client.ExpectText("hello")
		})
	}
}

// Shutdown waits for upgrades that have begun before it.
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
				upgrader := websocket.New(&testws.OriginController{
					ControllerFunc: func(*websocket.Conn, *http.Request) error {
						assert.Fail(t, "nobody is there to be served")
						return nil
					},
					Check: func(*http.Request) bool { return <-decided },
				})
				conn := testws.DialHTTP(t, wstest.Serve(t, upgrader))
				conn.Send(testws.UpgradeBytes(t))
				synctest.Wait()

				down := make(chan error, 1)
				go func() { down <- upgrader.Shutdown(context.Background()) }()
				synctest.Wait()
				require.Empty(t, down, "an upgrade is under way")
				decided <- tt.allowed

				response := conn.Answer(testws.UpgradeRequest(nil))
				if tt.allowed {
					require.Equal(t, http.StatusSwitchingProtocols, response.Status)
					conn.ExpectFrames(wstest.Close(websocket.CloseGoingAway, "Server shutting down"))
					conn.Send(wstest.Close(websocket.CloseGoingAway, "").Bytes())
				} else {
					require.Equal(t, http.StatusForbidden, response.Status)
				}
				require.NoError(t, <-down)
			})
		})
	}
}

// A client does not take the 101: when Shutdown's context ends, no socket of the endpoint
// is left.
func TestShutdownCutsAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		upgrader := websocket.New(&testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(*http.Request) http.Header {
			return http.Header{"X-Long": {strings.Repeat("x", 2*wstest.PipeBuffer)}}
		}})
		upgrader.Settings.HandshakeTimeout = time.Hour
		upgrader.Logger = testws.LogTo(func(line testws.Logged) { failed <- line.Err })
		conn := testws.DialHTTP(t, wstest.Serve(t, upgrader))
		conn.Send(testws.UpgradeBytes(t))
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

// Shutdown is called when a connection is upgraded but not served yet.
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
		require.Zero(t, endpoint.Stats().Open)
	})
}

// An Endpoint serves only what it has accepted. The caller learns that before anything has begun.
func TestConnectionOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var other websocket.Endpoint
		a := &adapter{}
		a.serve = func(conn *websocket.Conn) error {
			serve := func() error { return errors.New("it must not be called") }
			open := func() (websocket.MessageHandler, error) { return nil, serve() }
			assert.Panics(t, func() { other.Run(conn, serve, nil) })
			assert.Panics(t, func() { other.Serve(conn, serve, nil) })
			assert.Panics(t, func() { other.RunMessages(conn, open, nil) })
			assert.Panics(t, func() { other.ServeMessages(conn, open, nil) })
			return testws.Echo(conn, nil)
		}
		client := wstest.Dial(t, a, "/", nil)
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "")
		require.NoError(t, other.Shutdown(t.Context()))
		require.NoError(t, a.endpoint.Shutdown(t.Context()))
		require.Empty(t, a.told.All())
	})
}
