package websocket_test

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
)

const restarting = "Server restarting"

// endings waits until all clients have a close frame. It returns when each came, in order, and how
// often each code came.
func endings(t *testing.T, begun time.Time, clients []*wstest.Client) (told []time.Duration, codes map[int]int) {
	t.Helper()
	var mu sync.Mutex
	var reading sync.WaitGroup
	codes = make(map[int]int)
	for _, client := range clients {
		reading.Go(func() {
			for {
				if _, _, err := client.ReadMessage(); err != nil {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, time.Since(begun))
					codes[websocket.CloseStatus(err)]++
					return
				}
			}
		})
	}
	reading.Wait()
	return told, codes
}

// assertSpread checks that there was one in each part of the time.
func assertSpread(t *testing.T, told []time.Duration, over time.Duration) {
	t.Helper()
	part := over / time.Duration(len(told))
	for i, at := range told {
		assert.GreaterOrEqual(t, at, time.Duration(i)*part, "turn %d", i)
		assert.Less(t, at, time.Duration(i+1)*part, "turn %d", i)
	}
}

// dialMany connects clients to a server in a bubble.
func dialMany(t *testing.T, network *wstest.Server, path string, n int) (clients []*wstest.Client) {
	t.Helper()
	for range n {
		clients = append(clients, wstest.Dial(t, network, path, &wstest.Options{Timeout: -1}))
	}
	synctest.Wait()
	return clients
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upgrader := websocket.New(&plain{})
		require.NoError(t, upgrader.Drain(t.Context(), time.Minute), "before it is mounted")
		require.Empty(t, upgrader.Connections())
		upgrader.DrainClose = websocket.NewCloseError(4000, "go to B")
		a := newApp(t)
		a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })
		network := wstest.Serve(t, a.Router())
		clients := dialMany(t, network, "/ws", 20)
		require.Len(t, upgrader.Connections(), len(clients))
		begun := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- upgrader.Drain(t.Context(), time.Minute) }()
		told, codes := endings(t, begun, clients)
		require.NoError(t, <-ended)
		assertSpread(t, told, time.Minute)
		assert.Equal(t, map[int]int{4000: len(clients)}, codes)
		require.Empty(t, upgrader.Connections())
	})
}

// ShutdownAll spreads the connections of all Upgraders over websocket.drainTime.
func TestShutdownAllWithDrainTime(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bound time.Duration // of the context of ShutdownAll
		want  time.Duration
	}{
		{name: "with time enough", bound: time.Hour, want: time.Minute},
		{name: "with a context that is shorter", bound: 40 * time.Second, want: 27 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newApp(t, setting{"websocket.drainTime", 60})
				a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
					router.Subrouter("/a").Controller(websocket.New(&plain{}))
					router.Subrouter("/b").Controller(websocket.New(&plain{}))
				})
				network := wstest.Serve(t, a.Router())
				first, second := dialMany(t, network, "/a", 10), dialMany(t, network, "/b", 10)
				ctx, cancel := context.WithTimeout(t.Context(), tc.bound)
				defer cancel()
				begun := time.Now()
				ended := make(chan error, 1)
				go func() { ended <- websocket.ShutdownAll(ctx, a.Server) }()
				synctest.Wait()
				refused := wstest.DialRefused(t, network, "/a", nil)
				require.NoError(t, refused.Body.Close())
				assert.Equal(t, http.StatusServiceUnavailable, refused.StatusCode)
				var both sync.WaitGroup
				for _, clients := range [][]*wstest.Client{first, second} {
					both.Go(func() {
						told, codes := endings(t, begun, clients)
						assertSpread(t, told, tc.want)
						assert.Equal(t, map[int]int{websocket.CloseServiceRestart: 10}, codes)
					})
				}
				both.Wait()
				require.NoError(t, <-ended)
			})
		})
	}
}

// The drain time comes before websocket.shutdownTimeout, which is for a Serve that hangs.
func TestShutdownTimeoutAfterDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		a := newApp(t, setting{"websocket.drainTime", 60})
		a.RegisterRoutes(at("/ws", &plain{serve: func(*websocket.Conn, *goyave.Request) error {
			<-release
			return nil
		}}))
		network := wstest.Serve(t, a.Router())
		clients := dialMany(t, network, "/ws", 1)
		begun := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- websocket.ShutdownAll(t.Context(), a.Server) }()
		clients[0].ExpectClose(websocket.CloseServiceRestart, restarting)
		require.ErrorContains(t, <-ended, "connections cut: 1")
		assert.Equal(t, 75*time.Second, time.Since(begun))
	})
}

// A server that stops drains for websocket.drainTime, also if a hook of the application waits first.
func TestServerDrains(t *testing.T) {
	for _, name := range []string{"by itself", "in a hook"} {
		t.Run(name, func(t *testing.T) {
			const n = 20
			a := newApp(t, setting{"websocket.drainTime", 1})
			if name == "in a hook" {
				a.RegisterShutdownHook(func(s *goyave.Server) {
					assert.NoError(t, websocket.ShutdownAll(context.Background(), s))
				})
			}
			a.RegisterRoutes(at("/ws", &plain{}))
			a.run()
			var clients []*wstest.Client
			for range n {
				client := a.dial("/ws")
				client.WriteText("hello")
				client.ExpectText("hello")
				clients = append(clients, client)
			}
			begun := time.Now()
			a.begin()
			told, codes := endings(t, begun, clients)
			receive(t, a.stopped)
			assert.Equal(t, map[int]int{websocket.CloseServiceRestart: n}, codes)
			for i, at := range told {
				assert.GreaterOrEqual(t, at, time.Duration(i)*time.Second/n, "none before its part of the time")
			}
			for _, line := range a.log.with("") {
				assert.Equal(t, "DEBUG", line["level"], "%v", line)
			}
		})
	}
}

// When a hook has closed what Serve uses, the rest of the drain time is dropped: each Serve would
// fail before its turn.
func TestFailureEndsTheDrainTime(t *testing.T) {
	closed := make(chan struct{})
	running := make(chan struct{}, 10)
	a := newApp(t, setting{"websocket.drainTime", 3600})
	a.RegisterShutdownHook(func(*goyave.Server) { close(closed) })
	a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/uses").Controller(websocket.New(entered(running, func(*websocket.Conn, *goyave.Request) error {
			<-closed
			return errGone
		})))
		router.Subrouter("/waits").Controller(websocket.New(entered(running, echo)))
	})
	a.run()
	var clients []*wstest.Client
	for _, path := range []string{"/uses", "/waits", "/waits"} {
		clients = append(clients, a.dial(path))
		receive(t, running)
	}
	a.begin()
	for _, client := range clients {
		client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	}
	receive(t, a.stopped)
	require.Len(t, a.log.with("websocket.ShutdownAll"), 1)
}

// After ShutdownAll, a failure is the connection's own: the others have their turn.
func TestFailureInTheDrainTimeAfterShutdownAll(t *testing.T) {
	fail := make(chan struct{})
	running := make(chan struct{}, 10)
	a := newApp(t, setting{"websocket.drainTime", 3600})
	ctx, hurry := context.WithCancel(context.Background())
	a.RegisterShutdownHook(func(s *goyave.Server) {
		assert.ErrorContains(t, websocket.ShutdownAll(ctx, s), "connections cut: 1")
	})
	a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/fails").Controller(websocket.New(entered(running, func(*websocket.Conn, *goyave.Request) error {
			<-fail
			return errGone
		})))
		router.Subrouter("/waits").Controller(websocket.New(entered(running, echo)))
	})
	a.run()
	failing := a.dial("/fails")
	receive(t, running)
	waiting := a.dial("/waits")
	receive(t, running)
	a.begin()
	require.Eventually(t, func() bool {
		b := make([]byte, 1<<20)
		return slices.ContainsFunc(strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n"), func(goroutine string) bool {
			return strings.Contains(goroutine, ".ShutdownAll(") && strings.Contains(goroutine, "together")
		})
	}, patience, time.Millisecond, "ShutdownAll waits")
	close(fail)
	failing.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
	waiting.WriteText("still here")
	waiting.ExpectText("still here")
	hurry()
	receive(t, a.stopped)
}
