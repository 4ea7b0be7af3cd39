package websocket_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	stdslog "log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/slog"
)

const shuttingDown = "Server shutting down"

// stop stops the application and returns when Start has returned.
func (a *app) stop() {
	a.t.Helper()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.Stop()
	}()
	receive(a.t, a.stopped)
	receive(a.t, stopped)
}

// entered makes a controller's function signal its start. A function that has not started before
// the shutdown would never start.
func entered(running chan<- struct{}, serve func(conn *websocket.Conn, request *goyave.Request) error) *plain {
	return &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
		running <- struct{}{}
		return serve(conn, request)
	}}
}

// begin makes the application stop, without waiting for it.
func (a *app) begin() { go a.Stop() }

// Every client gets a close frame, every Serve returns before Start does, and ErrShutdown is the
// cause of the contexts.
func TestShutdown(t *testing.T) {
	var serving atomic.Int32
	causes := make(chan error, 10)
	serve := func(conn *websocket.Conn, request *goyave.Request) error {
		serving.Add(1)
		defer serving.Add(-1)
		err := echo(conn, request)
		causes <- context.Cause(request.Context())
		return err
	}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/a").Controller(websocket.New(&plain{serve: serve}))
		router.Subrouter("/b").Controller(websocket.New(&plain{serve: serve}))
	})
	clients := make([]*wstest.Client, 0, 4)
	for _, path := range []string{"/a", "/b", "/a", "/b"} {
		client := a.dial(path)
		client.WriteText("hello")
		client.ExpectText("hello")
		clients = append(clients, client)
	}
	a.begin()
	for _, client := range clients {
		client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	}
	receive(t, a.stopped)
	assert.Zero(t, serving.Load())
	for range clients {
		assert.Equal(t, websocket.ErrShutdown, <-causes)
	}
	for _, line := range a.log.with("") {
		assert.Equal(t, "DEBUG", line["level"], "%v", line)
	}
}

// All Upgraders shut down concurrently: in this test, each of two waits for the other.
func TestShutdownIsParallel(t *testing.T) {
	first, second := make(chan struct{}), make(chan struct{})
	waiting := func(own, other chan struct{}) *plain {
		return &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
			if err := conn.WriteMessage(websocket.TextMessage, []byte("served")); err != nil {
				return err
			}
			<-request.Context().Done()
			close(own)
			<-other
			return nil
		}}
	}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/a").Controller(websocket.New(waiting(first, second)))
		router.Subrouter("/b").Controller(websocket.New(waiting(second, first)))
	})
	clients := []*wstest.Client{a.dial("/a"), a.dial("/b")}
	for _, client := range clients {
		client.ExpectText("served")
	}
	a.begin()
	for _, client := range clients {
		client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	}
	receive(t, a.stopped)
	assert.Empty(t, a.log.with("connections cut"))
}

// Connections that do not end in time are aborted, and Start returns.
func TestShutdownTimeout(t *testing.T) {
	running, release, returned := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/stuck").Controller(websocket.New(entered(running, func(*websocket.Conn, *goyave.Request) error {
			defer close(returned)
			<-release
			return nil
		})))
		router.Subrouter("/ws").Controller(websocket.New(&plain{}))
	}, setting{"websocket.shutdownTimeout", 1})
	stuck := a.dial("/stuck")
	receive(t, running)
	silent := wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Timeout: patience})
	silent.Send(wstest.Text("hello"))
	silent.Expect(wstest.Text("hello"))
	begun := time.Now()
	a.begin()
	stuck.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, a.stopped)
	assert.GreaterOrEqual(t, time.Since(begun), time.Second)
	silent.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	silent.ExpectEnd()
	cut := a.log.with("connections cut: 1")
	require.Len(t, cut, 2, "one of each Upgrader")
	for _, line := range cut {
		assert.Equal(t, "ERROR", line["level"])
		assert.NotEmpty(t, line["trace"])
	}
	close(release)
	receive(t, returned)
}

// A noLogger is the handler of a logger that panics for errors.
type noLogger struct{ stdslog.Handler }

func (noLogger) Handle(_ context.Context, record stdslog.Record) error {
	if record.Level >= stdslog.LevelError {
		panic("no errors, please")
	}
	return nil
}

// A logger that panics when it logs the aborted connections does not end the process: the other
// hooks are called, and Start returns.
func TestShutdownWithPanickingLogger(t *testing.T) {
	running, release, returned := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	var hooked atomic.Bool
	a := start(t, func(server *goyave.Server, router *goyave.Router) {
		server.Logger = slog.New(noLogger{stdslog.DiscardHandler})
		router.Subrouter("/ws").Controller(websocket.New(entered(running, func(*websocket.Conn, *goyave.Request) error {
			defer close(returned)
			<-release
			return errors.New("which is logged, too")
		})))
		server.RegisterShutdownHook(func(*goyave.Server) { hooked.Store(true) })
	}, setting{"websocket.shutdownTimeout", 1})
	client := a.dial("/ws")
	receive(t, running)
	a.begin()
	client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, a.stopped)
	assert.True(t, hooked.Load())
	close(release)
	receive(t, returned)
}

// Without a timeout, the shutdown waits for as long as Serve takes.
func TestShutdownTimeoutOff(t *testing.T) {
	running, release := make(chan struct{}, 1), make(chan struct{})
	var returned atomic.Bool
	a := start(t, at("/ws", entered(running, func(*websocket.Conn, *goyave.Request) error {
		<-release
		returned.Store(true)
		return nil
	})), setting{"websocket.shutdownTimeout", 0})
	client := a.dial("/ws")
	receive(t, running)
	a.begin()
	client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	close(release)
	receive(t, a.stopped)
	assert.True(t, returned.Load())
	assert.Empty(t, a.log.with("connections cut"))
}

// An upgrade that is in progress when the shutdown begins is refused.
func TestUpgradeDuringShutdown(t *testing.T) {
	running, arrived, release, ended := make(chan struct{}, 1), make(chan struct{}), make(chan struct{}), make(chan struct{})
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		upgrader := websocket.New(entered(running, func(_ *websocket.Conn, request *goyave.Request) error {
			<-request.Context().Done() // the shutdown has begun
			close(release)
			<-ended
			return nil
		}))
		router.Subrouter("/ws").Middleware(&around{before: func(_ *goyave.Response, request *goyave.Request) {
			if request.URL().RawQuery == "late" {
				close(arrived)
				<-release
			}
		}}).Controller(upgrader)
	})
	client := a.dial("/ws")
	receive(t, running)

	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", a.Host())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /ws?late HTTP/1.1\r\nHost: "+a.Host()+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	require.NoError(t, err)
	receive(t, arrived)
	a.begin()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.Equal(t, "5", response.Header.Get("Retry-After"))
	assert.JSONEq(t, `{"error": "Service Unavailable"}`, string(body))
	close(ended)
	client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, a.stopped)
}

// The shutdown of one server does not affect another server of the process.
func TestTwoServers(t *testing.T) {
	one, two := start(t, at("/ws", &plain{})), start(t, at("/ws", &plain{}))
	first, second := one.dial("/ws"), two.dial("/ws")
	one.begin()
	first.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, one.stopped)
	second.WriteText("still here")
	second.ExpectText("still here")
	two.dial("/ws").Close(websocket.CloseNormalClosure, "")
	second.Close(websocket.CloseNormalClosure, "")
}

// An Upgrader that is mounted on a second server serves both.
func TestUpgraderOfTwoServers(t *testing.T) {
	upgrader := websocket.New(&plain{})
	mount := func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) }
	one := start(t, mount)
	one.dial("/ws").Close(websocket.CloseNormalClosure, "")
	one.stop()
	two := start(t, mount)
	two.dial("/ws").Close(websocket.CloseNormalClosure, "")
	assert.Equal(t, uint64(1), upgrader.Stats().Upgrades)
}

// An application that closes its connections itself, as the original's manual advises, still works,
// whether its hook runs first or last.
func TestApplicationsOwnShutdownHook(t *testing.T) {
	for _, first := range []bool{true, false} {
		name := map[bool]string{true: "first", false: "last"}[first]
		t.Run(name, func(t *testing.T) {
			conns := make(chan *websocket.Conn, 2)
			returned := make(chan struct{}, 2)
			ctrl := &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
				conns <- conn
				defer func() { returned <- struct{}{} }()
				return echo(conn, request)
			}}
			closed := make(chan error, 2)
			hook := func(*goyave.Server) {
				for range 2 {
					closed <- (<-conns).CloseNormal()
					<-returned
				}
			}
			a := newApp(t)
			if first {
				a.RegisterShutdownHook(hook)
			}
			a.RegisterRoutes(at("/ws", ctrl))
			if !first {
				a.RegisterShutdownHook(hook)
			}
			a.run()
			var clients []*wstest.Client
			for range 2 { // served in this order
				client := a.dial("/ws")
				client.WriteText("hello")
				client.ExpectText("hello")
				clients = append(clients, client)
			}
			a.begin()
			for _, client := range clients {
				if first { // concurrently with the server's own shutdown
					_, _, err := client.ReadMessage()
					assert.True(t, ws.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway), "%v", err)
				} else {
					client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
				}
			}
			receive(t, a.stopped)
			require.NoError(t, <-closed)
			require.NoError(t, <-closed)
		})
	}
}

// OnError is called for a panic of Serve during the shutdown.
func TestFailureDuringShutdown(t *testing.T) {
	running := make(chan struct{}, 1)
	a := start(t, at("/ws", entered(running, func(_ *websocket.Conn, request *goyave.Request) error {
		<-request.Context().Done()
		panic("late failure")
	})))
	client := a.dial("/ws")
	receive(t, running)
	a.begin()
	client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, a.stopped)
	assert.Equal(t, "ERROR", a.log.wait(t, "late failure")["level"])
}
