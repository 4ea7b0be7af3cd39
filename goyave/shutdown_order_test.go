package websocket_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
)

// template returns an application like Goyave's template: it registers its hooks before its routes.
func template(t *testing.T, hook func(*goyave.Server), routes func(*goyave.Server, *goyave.Router)) *app {
	t.Helper()
	a := newApp(t)
	a.RegisterShutdownHook(hook)
	a.RegisterRoutes(routes)
	a.run()
	return a
}

// Clients get their close frames when the server stops, and not only after the application's hooks.
func TestIdleClientsAreToldBeforeTheHooks(t *testing.T) {
	var clients []*wstest.Client
	told := make(chan struct{})
	a := template(t, func(*goyave.Server) {
		for _, client := range clients {
			client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
		}
		close(told)
	}, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/a").Controller(websocket.New(&plain{}))
		router.Subrouter("/b").Controller(websocket.New(&plain{}))
	})
	for _, path := range []string{"/a", "/b", "/a"} {
		clients = append(clients, a.dial(path))
	}
	a.begin()
	receive(t, told)
	receive(t, a.stopped)
	assert.Empty(t, a.log.with("ShutdownAll"), "no harm was done")
}

var errGone = errors.New("the database is closed")

// A Serve that fails because a hook has closed a resource still ends with 1001. The failure is
// logged, with advice.
func TestBusyClientsAreToldOfTheShutdown(t *testing.T) {
	for _, tc := range []struct {
		name   string
		serve  func(conn *websocket.Conn, closed <-chan struct{}) error
		logged bool
	}{
		{name: "an error", serve: func(_ *websocket.Conn, closed <-chan struct{}) error { <-closed; return errGone }, logged: true},
		{name: "a panic", serve: func(_ *websocket.Conn, closed <-chan struct{}) error { <-closed; panic(errGone) }, logged: true},
		{name: "a function of the connection", serve: func(conn *websocket.Conn, closed <-chan struct{}) error {
			conn.Go(func(context.Context) error { <-closed; return errGone })
			return echo(conn, nil)
		}, logged: true},
		{name: "nil", serve: func(_ *websocket.Conn, closed <-chan struct{}) error { <-closed; return nil }},
		{name: "what the context says", serve: func(conn *websocket.Conn, closed <-chan struct{}) error {
			<-closed
			<-conn.Context().Done()
			return conn.Context().Err()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 20 {
				closed, running := make(chan struct{}), make(chan struct{}, 3)
				a := template(t, func(*goyave.Server) { close(closed) }, at("/ws", entered(running, func(conn *websocket.Conn, _ *goyave.Request) error {
					return tc.serve(conn, closed)
				})))
				var clients []*wstest.Client
				for range cap(running) {
					clients = append(clients, a.dial("/ws"))
					receive(t, running)
				}
				a.begin()
				for _, client := range clients {
					client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
				}
				receive(t, a.stopped)
				if !tc.logged {
					require.Empty(t, a.log.with("ShutdownAll"))
					require.Empty(t, a.log.with(errGone.Error()))
					continue
				}
				require.Len(t, a.log.with(errGone.Error()), len(clients))
				warnings := a.log.with("websocket.ShutdownAll")
				require.Len(t, warnings, 1)
				require.Equal(t, "WARN", warnings[0]["level"])
				require.GreaterOrEqual(t, warnings[0]["failures"], 3.0)
			}
		})
	}
}

// After ShutdownAll, a hook can close resources, because every Serve has returned.
func TestShutdownAllInTheFirstHook(t *testing.T) {
	var open, served atomic.Int32
	open.Store(1)
	broker := &diary{}
	a := template(t, func(s *goyave.Server) {
		assert.NoError(t, websocket.ShutdownAll(t.Context(), s))
		assert.EqualValues(t, 3, served.Load())
		assert.Contains(t, broker.all(), "close", "hubs are shut down, too")
		open.Store(0)
	}, func(server *goyave.Server, router *goyave.Router) {
		server.RegisterService(websocket.NewHubService(server, hub.Options{Broker: broker}))
		at("/ws", &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
			defer served.Add(1)
			if err := conn.WriteMessage(websocket.TextMessage, []byte("served")); err != nil {
				return err
			}
			<-request.Context().Done()
			time.Sleep(10 * time.Millisecond)
			if open.Load() == 0 {
				return errGone
			}
			return nil
		}})(server, router)
	})
	var clients []*wstest.Client
	for range 3 {
		client := a.dial("/ws")
		client.ExpectText("served")
		clients = append(clients, client)
	}
	a.begin()
	for _, client := range clients {
		client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	}
	receive(t, a.stopped)
	assert.Empty(t, a.log.with(errGone.Error()))
	assert.Empty(t, a.log.with("ShutdownAll"))
	require.NoError(t, websocket.ShutdownAll(t.Context(), a.Server), "again")
}

// After ClearShutdownHooks, clients still get their close frames, and ShutdownAll waits for them.
func TestShutdownWithoutHooks(t *testing.T) {
	for _, waits := range []bool{false, true} {
		var served atomic.Bool
		a := newApp(t)
		a.RegisterRoutes(at("/ws", &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
			err := echo(conn, request)
			time.Sleep(10 * time.Millisecond)
			served.Store(true)
			return err
		}}))
		a.ClearShutdownHooks()
		if waits {
			a.RegisterShutdownHook(func(s *goyave.Server) {
				assert.NoError(t, websocket.ShutdownAll(t.Context(), s))
				assert.True(t, served.Load())
			})
		}
		a.run()
		client := a.dial("/ws")
		client.WriteText("hello")
		client.ExpectText("hello")
		a.begin()
		client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
		receive(t, a.stopped)
		require.NoError(t, websocket.ShutdownAll(t.Context(), a.Server))
	}
}

// The very first upgrade is refused if the server is stopping, even while hooks are running.
func TestFirstUpgradeDuringShutdown(t *testing.T) {
	arrived, release, inHook, done := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	a := template(t, func(*goyave.Server) { close(inHook); <-done }, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/ws").Middleware(&around{before: func(*goyave.Response, *goyave.Request) {
			close(arrived)
			<-release
		}}).Controller(websocket.New(&plain{}))
	})
	go func() {
		<-arrived
		a.begin()
		<-inHook
		close(release)
	}()
	response, body := a.refused("/ws", nil)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.JSONEq(t, `{"error": "Service Unavailable"}`, body)
	close(done)
	receive(t, a.stopped)
}

// With an http.Server of the application's own, only ShutdownAll ends the connections.
func TestShutdownAllOfOwnServer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		serve func(conn *websocket.Conn, request *goyave.Request) error
		bound time.Duration // of the context
		want  time.Duration
		err   string
	}{
		{name: "in good order", bound: time.Hour},
		{name: "a Serve that cleans up", serve: func(_ *websocket.Conn, request *goyave.Request) error {
			<-request.Context().Done()
			time.Sleep(5 * time.Second)
			return nil
		}, bound: time.Hour, want: 5 * time.Second},
		{name: "a Serve that hangs, within the context", serve: func(*websocket.Conn, *goyave.Request) error {
			time.Sleep(20 * time.Second)
			return nil
		}, bound: 3 * time.Second, want: 3 * time.Second, err: "websocket: shutdown: connections cut: 1: context deadline exceeded"},
		{name: "a Serve that hangs, within the configured time", serve: func(*websocket.Conn, *goyave.Request) error {
			time.Sleep(20 * time.Second)
			return nil
		}, bound: time.Hour, want: 15 * time.Second, err: "websocket: shutdown: connections cut: 1: context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t)
				a.RegisterRoutes(at("/ws", &plain{serve: tc.serve}))
				network := wstest.Serve(t, a.Router())
				client := wstest.Dial(t, network, "/ws", nil)
				synctest.Wait()

				ctx, cancel := context.WithTimeout(t.Context(), tc.bound)
				defer cancel()
				ended := make(chan error, 1)
				start := time.Now()
				go func() { ended <- websocket.ShutdownAll(ctx, a.Server) }()
				client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
				err := <-ended
				assert.Equal(t, tc.want, time.Since(start))
				if tc.err == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, tc.err)
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
				response := wstest.DialRefused(t, network, "/ws", nil)
				require.NoError(t, response.Body.Close())
				assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
				time.Sleep(time.Minute)
				require.NoError(t, websocket.ShutdownAll(context.Background(), a.Server), "the last Serve has returned")
			})
		})
	}
}

func TestShutdownAllOfNothing(t *testing.T) {
	require.NoError(t, websocket.ShutdownAll(t.Context(), newApp(t).Server))
}
