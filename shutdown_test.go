package websocket_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestShutdownTellsEveryClientAtOnce(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var returned atomic.Int32
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
			defer returned.Add(1)
			return testws.Wrapped(testws.Echo(conn, r))
		}}
		u := websocket.New(ctrl)
		target := serve(u)
		clients := make([]*wstest.Client, 20)
		for i := range clients {
			clients[i] = wstest.Dial(t, target, "/", nil)
			clients[i].WriteText("hello")
			clients[i].ExpectText("hello")
		}
		down := make(chan error, 1)
		go func() { down <- u.Shutdown(t.Context()) }()
		for _, client := range clients {
			client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		}
		require.NoError(t, <-down)
		assert.EqualValues(t, len(clients), returned.Load(), "every Serve has returned")
		assert.Zero(t, u.Stats().Open)
		assert.Empty(t, ctrl.Told.All())

		response := wstest.DialRefused(t, target, "/", nil) //nolint:bodyclose // it is in memory
		assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		assert.NotEmpty(t, response.Header.Get("Retry-After"))
		require.NoError(t, u.Shutdown(t.Context()), "again")
	})
}

func TestShutdown(t *testing.T) {
	waits := func(conn *websocket.Conn, _ *http.Request) error { <-conn.Context().Done(); return nil }
	cases := []struct {
		name  string
		serve func(conn *websocket.Conn, r *http.Request) error
		peer  func(client *wstest.Raw) // after it was told
		bound time.Duration
		want  time.Duration
		cut   bool
		code  int
		told  error
	}{
		{name: "of a peer that answers late", serve: waits, peer: func(client *wstest.Raw) {
			time.Sleep(4 * time.Second)
			client.Send(wstest.Close(1001, ""))
		}, bound: time.Minute, want: 4 * time.Second, code: 1001},
		{name: "of a peer that never answers", serve: waits, bound: time.Minute, want: 10 * time.Second, code: 1001},
		{name: "of a peer that never answers, within a shorter bound", serve: waits, bound: 3 * time.Second, want: 3 * time.Second, cut: true, code: 1001},
		{name: "of a Serve that hangs", serve: func(*websocket.Conn, *http.Request) error {
			time.Sleep(70 * time.Second)
			return nil
		}, bound: time.Minute, want: time.Minute, cut: true, code: 1001},
		{name: "of a Serve that cleans up", serve: func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			time.Sleep(30 * time.Second)
			return context.Cause(conn.Context())
		}, bound: time.Minute, want: 30 * time.Second, code: 1001},
		{name: "of a Serve that fails", serve: func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			return testws.ErrDatabase
		}, bound: time.Minute, want: 10 * time.Second, code: 1001, told: testws.ErrDatabase},
		{name: "of a Serve that panics", serve: func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			panic(context.Cause(conn.Context()))
		}, bound: time.Minute, want: 10 * time.Second, code: 1001, told: websocket.ErrShutdown},
		{name: "of a connection that is being closed", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.Close(4000, "")
		}, bound: time.Minute, want: 10 * time.Second, code: 4000},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctrl := &testws.Controller{ServeFunc: c.serve}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: time.Hour})
				synctest.Wait()
				var running sync.WaitGroup
				defer running.Wait()
				running.Go(func() {
					got, err := client.Receive()
					assert.NoError(t, err)
					assert.Equal(t, c.code, got.CloseCode())
					if c.peer != nil {
						c.peer(client)
					}
				})
				ctx, cancel := context.WithTimeoutCause(t.Context(), c.bound, testws.ErrDatabase)
				defer cancel()
				start := time.Now()
				err := u.Shutdown(ctx)
				testws.AssertElapsed(t, start, c.want)
				if c.cut {
					require.ErrorIs(t, err, testws.ErrDatabase)
					require.ErrorContains(t, err, "connections cut: 1")
					client.ExpectEnd()
				} else {
					require.NoError(t, err)
				}
				if c.told != nil {
					require.Len(t, ctrl.Told.All(), 1)
					require.ErrorIs(t, ctrl.Told.All()[0], c.told)
				} else {
					require.Empty(t, ctrl.Told.All())
				}
				testws.AwaitEnd(t, u)
			})
		})
	}
}

// A Serve that fails after the shutdown has begun ends its connection as the shutdown does.
// Its error is reported.
func TestBeginShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := make(chan struct{})
		a := &adapter{serve: func(conn *websocket.Conn) error {
			<-away
			assert.Equal(t, websocket.ErrShutdown, context.Cause(conn.Context()))
			return testws.ErrDatabase
		}}
		server := wstest.Serve(t, a)
		client := wstest.Dial(t, server, "/", nil)
		synctest.Wait()
		a.endpoint.BeginShutdown()
		assert.Equal(t, http.StatusServiceUnavailable, testws.DialRefused(t, server, "/", nil).Status)
		synctest.Wait()
		assert.Equal(t, 1, a.endpoint.Stats().Open, "it waits for nothing")
		close(away)
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		a.endpoint.BeginShutdown()
		require.NoError(t, a.endpoint.Shutdown(t.Context()))
		assert.Equal(t, []error{testws.ErrDatabase}, a.told.All())
	})
}

// The options choose the close frame of a shutdown, wherever it comes from.
func TestShutdownClose(t *testing.T) {
	long := strings.Repeat("é", 100)
	for _, tc := range []struct {
		name  string
		frame *websocket.CloseError
		code  int
		text  string
	}{
		{name: "the default", code: 1001, text: "Server shutting down"},
		{name: "a code of the application", frame: websocket.NewCloseError(4001, "bye"), code: 4001, text: "bye"},
		{name: "without a text", frame: websocket.NewCloseError(1012, ""), code: 1012},
		{name: "an empty frame", frame: websocket.NewCloseError(1005, ""), code: 1005},
		{name: "a text that is too long", frame: websocket.NewCloseError(1012, long), code: 1012, text: long[:122]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serves := []func(conn *websocket.Conn, r *http.Request) error{
					testws.Echo,
					func(conn *websocket.Conn, _ *http.Request) error {
						<-conn.Context().Done()
						return websocket.ErrShutdown
					},
					func(*websocket.Conn, *http.Request) error { time.Sleep(time.Minute); return nil },
				}
				var next atomic.Int32
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
					code, text := conn.ShutdownClose()
					assert.Equal(t, tc.code, code)
					assert.Equal(t, tc.text, text)
					return serves[next.Add(1)-1](conn, r)
				}))
				u.ShutdownClose = tc.frame
				require.NoError(t, u.Validate())
				server := wstest.Serve(t, u)
				var clients []*wstest.Client
				for range serves {
					clients = append(clients, wstest.Dial(t, server, "/", &wstest.Options{Timeout: time.Hour}))
				}
				synctest.Wait()
				down := make(chan error, 1)
				go func() { down <- u.Shutdown(t.Context()) }()
				for _, client := range clients {
					client.ExpectClose(tc.code, tc.text)
				}
				require.NoError(t, <-down)
			})
		})
	}
}

// A Serve that returns ErrShutdown, of a hub that shuts down, ends its connection as a shutdown does.
func TestServeReturnsErrShutdown(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error {
		return testws.Wrapped(websocket.ErrShutdown)
	}))
	u.ShutdownClose = websocket.NewCloseError(1012, "back in a minute")
	wstest.Dial(t, wstest.Serve(t, u), "/", nil).ExpectClose(1012, "back in a minute")
	testws.AwaitEnd(t, u)
}

func TestChosenEndingWinsOverShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error {
				return conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer))
			})
			<-conn.Context().Done()
			time.Sleep(time.Second) // Shutdown's frame waits for the message
			return websocket.NewCloseError(websocket.CloseServiceRestart, "back in a minute")
		}))
		client := wstest.DialRaw(t, u, "/", nil)
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- u.Shutdown(t.Context()) }()
		time.Sleep(2 * time.Second)
		_, err := client.Receive()
		require.NoError(t, err)
		client.ExpectClose(1012, "back in a minute")
		client.Send(wstest.Close(1012, ""))
		require.NoError(t, <-down)
	})
}

// Upgrades race with Shutdown: each is refused or closed with 1001.
func TestShutdownDuringUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			var served, unserved atomic.Int32
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
				served.Add(1)
				defer unserved.Add(1)
				return testws.Echo(conn, r)
			}))
			u.Logger = testws.Silent
			server := wstest.Serve(t, u)
			var running sync.WaitGroup
			var refused, told atomic.Int32
			const clients = 20
			for range clients {
				running.Go(func() {
					client, err := server.DialContext(t.Context(), "", "")
					if !assert.NoError(t, err) {
						return
					}
					defer func() { _ = client.Close() }()
					switch code := testws.UpgradeBare(t, client); code {
					case http.StatusSwitchingProtocols:
						f, err := wstest.ReadFrame(client)
						assert.NoError(t, err)
						assert.Equal(t, 1001, f.CloseCode())
						told.Add(1)
					case http.StatusServiceUnavailable:
						refused.Add(1)
					default:
						assert.Fail(t, "unexpected status", code)
					}
				})
			}
			require.NoError(t, u.Shutdown(t.Context()))
			assert.Equal(t, served.Load(), unserved.Load())
			running.Wait()
			assert.EqualValues(t, clients, refused.Load()+told.Load())
			assert.Zero(t, u.Stats().Open)
		}
	})
}

// Shutdown waits for an origin check that takes time.
func TestShutdownWaitsForUpgradesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e websocket.Endpoint
		server := wstest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := e.Accept(w, r, websocket.Handshake{
				CheckOrigin: func() bool { time.Sleep(5 * time.Second); return true },
				Refuse:      func(status int, reason error) { http.Error(w, reason.Error(), status) },
			})
			if assert.NoError(t, err) {
				e.Run(conn, func() error { return errors.New("nobody is served") }, nil)
			}
		}))
		dialed := make(chan *wstest.Raw, 1)
		go func() { dialed <- wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: time.Minute}) }()
		synctest.Wait()
		down := make(chan error, 1)
		start := time.Now()
		go func() { down <- e.Shutdown(t.Context()) }()
		client := <-dialed
		testws.AssertElapsed(t, start, 5*time.Second)
		client.ExpectClose(1001, "Server shutting down")
		client.Send(wstest.Close(1001, ""))
		require.NoError(t, <-down)
	})
}

// The sockets are closed at the moment at which an upgrade becomes a connection.
func TestShutdownCutsUpgradesThatAreAlmostDone(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 300 {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = testws.Silent
		memory := wstest.Listen()
		server := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
		var all sync.WaitGroup
		all.Go(func() { _ = server.Serve(memory) })
		nc, err := memory.DialContext(t.Context())
		require.NoError(t, err)
		_, err = nc.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
		require.NoError(t, err)
		_, err = nc.Read(make([]byte, 16)) // it is being written
		require.NoError(t, err)
		all.Go(func() { _ = u.Shutdown(ended) })
		_, _ = nc.Read(make([]byte, 1024))
		_ = nc.Close()
		_ = server.Close()
		all.Wait()
		require.NoError(t, u.Shutdown(t.Context()))
	}
}
