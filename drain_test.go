package websocket_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/poller"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A crowd is clients in a bubble that answer close frames, and note when these came.
type crowd struct {
	t       *testing.T
	clients []*wstest.Client
	reading sync.WaitGroup

	mu    sync.Mutex
	begun time.Time
	told  []time.Duration // after begun, in the order in which they were told
	codes map[string]int  // of the close frames, with their texts
}

// gather connects n clients.
func gather(t *testing.T, server any, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, codes: make(map[string]int)}
	for range n {
		c.clients = append(c.clients, wstest.Dial(t, server, "/", &wstest.Options{Timeout: -1}))
	}
	synctest.Wait()
	for _, client := range c.clients {
		c.reading.Go(func() { c.read(client) })
	}
	c.begun = time.Now()
	return c
}

func (c *crowd) read(client *wstest.Client) {
	for {
		_, _, err := client.ReadMessage()
		if err == nil {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, time.Since(c.begun))
		c.codes[err.Error()]++
		return
	}
}

// toldAt waits until all clients are told, and returns when they were.
func (c *crowd) toldAt() []time.Duration {
	c.reading.Wait()
	return c.told
}

// toldSoFar returns how many clients are told.
func (c *crowd) toldSoFar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.told)
}

const (
	restarting   = "websocket: close 1012: Server restarting"
	shuttingDown = "websocket: close 1001 (going away): Server shutting down"
)

// assertSpread checks that there was one in each part of the time.
func assertSpread(t *testing.T, told []time.Duration, over time.Duration) {
	t.Helper()
	part := over / time.Duration(len(told))
	for i, at := range told {
		assert.GreaterOrEqual(t, at, time.Duration(i)*part, "turn %d", i)
		assert.Less(t, at, time.Duration(i+1)*part, "turn %d", i)
	}
}

// drain calls Drain on a goroutine.
func drain(ctx context.Context, u *websocket.Upgrader, over time.Duration) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- u.Drain(ctx, over) }()
	synctest.Wait()
	return ended
}

// Controllers that wait for a message.
var readers = map[string]func(told *testws.ErrorList) *websocket.Upgrader{
	"a Controller": func(told *testws.ErrorList) *websocket.Upgrader {
		return websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			err := testws.Echo(conn, r)
			told.Add(context.Cause(conn.Context()))
			return err
		}))
	},
	"a MessageController": func(told *testws.ErrorList) *websocket.Upgrader {
		return websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
			conn.BeforeClose(func() { told.Add(context.Cause(conn.Context())) })
			return websocket.MessageHandlerFunc(conn.WriteMessage), nil
		}))
	},
}

func TestDrain(t *testing.T) {
	for name, upgrader := range readers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const clients, over = 50, 10 * time.Second
				var causes testws.ErrorList
				u := upgrader(&causes)
				var endings atomic.Int32
				u.Observer = &websocket.Observer{Ended: func(_ *websocket.Conn, e websocket.Ending) {
					assert.Equal(t, websocket.CloseServiceRestart, e.Code)
					assert.Equal(t, websocket.ErrShutdown, e.Cause)
					endings.Add(1)
				}}
				server := wstest.Serve(t, u)
				c := gather(t, server, clients)
				ended := drain(t.Context(), u, over)
				reply := testws.DialRefused(t, server, "/", nil)
				assert.Equal(t, http.StatusServiceUnavailable, reply.Status)
				assert.NotEmpty(t, reply.Header.Get("Retry-After"))
				assert.Less(t, c.toldSoFar(), 2, "the others go on")

				told := c.toldAt()
				require.NoError(t, <-ended)
				testws.AssertElapsed(t, c.begun, told[clients-1])
				assertSpread(t, told, over)
				assert.Equal(t, map[string]int{restarting: clients}, c.codes)
				assert.Len(t, causes.All(), clients)
				for _, cause := range causes.All() {
					assert.Equal(t, websocket.ErrShutdown, cause)
				}
				assert.EqualValues(t, clients, endings.Load())
				assert.Zero(t, u.Stats().Open)

				start := time.Now()
				require.NoError(t, u.Drain(t.Context(), over), "again")
				require.NoError(t, u.Shutdown(t.Context()), "afterwards")
				testws.AssertElapsed(t, start, 0)
			})
		})
	}
}

// Connections that wait for their turn exchange messages as before.
func TestDrainedConnectionsGoOnUntilTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		server := wstest.Serve(t, u)
		var clients []*wstest.Client
		for range 10 {
			clients = append(clients, wstest.Dial(t, server, "/", &wstest.Options{Timeout: -1}))
		}
		synctest.Wait()
		ended := drain(t.Context(), u, 100*time.Second)
		for i := range clients {
			time.Sleep(10 * time.Second) // one more has had its turn
			gone := 0
			for _, client := range clients {
				if client.WriteMessage(websocket.TextMessage, []byte("still here?")) != nil {
					gone++
					continue
				}
				if _, p, err := client.ReadMessage(); err != nil {
					assert.Equal(t, websocket.CloseServiceRestart, websocket.CloseStatus(err))
					gone++
				} else {
					assert.Equal(t, "still here?", string(p))
				}
			}
			assert.Equal(t, i+1, gone)
			assert.Equal(t, len(clients)-gone, u.Stats().Open)
		}
		require.NoError(t, <-ended)
	})
}

// Each order of turns is possible: clients that connected together do not leave together.
func TestDrainIsInRandomOrder(t *testing.T) {
	const clients = 4
	orders := make(map[[clients]int]bool)
	for range 1000 {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var order [clients]int
			var next int
			numbers := make(map[*websocket.Conn]int)
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.Observer = &websocket.Observer{Ended: func(conn *websocket.Conn, _ websocket.Ending) {
				mu.Lock()
				defer mu.Unlock()
				order[next] = numbers[conn]
				next++
			}}
			c := gather(t, u, clients)
			for i, conn := range u.Connections() {
				numbers[conn] = i
			}
			require.NoError(t, u.Drain(t.Context(), time.Minute))
			c.toldAt()
			mu.Lock()
			defer mu.Unlock()
			orders[order] = true
		})
	}
	assert.Len(t, orders, 24)
}

func TestDrainOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		require.NoError(t, u.Drain(ended, time.Hour), "also if the context has ended")
		testws.AssertElapsed(t, start, 0)
		assert.Equal(t, http.StatusServiceUnavailable, testws.DialRefused(t, u, "/", nil).Status)
	})
}

func TestDrainAtOnce(t *testing.T) {
	for _, over := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			c := gather(t, u, 20)
			require.NoError(t, u.Drain(t.Context(), over))
			assert.Equal(t, make([]time.Duration, 20), c.toldAt())
			assert.Equal(t, map[string]int{restarting: 20}, c.codes)
		})
	}
}

// The deadline of the context leaves time for the last connection.
func TestDrainIsShortened(t *testing.T) {
	for _, tc := range []struct {
		name  string
		close time.Duration // Options.CloseTimeout
		bound time.Duration // of the context
		over  time.Duration
		want  time.Duration
	}{
		{name: "it is not, where the context gives time enough", bound: 33 * time.Second, over: 20 * time.Second, want: 20 * time.Second},
		{name: "so that a silent client is not cut", bound: 30 * time.Second, over: 20 * time.Second, want: 17 * time.Second},
		{name: "to half of the time at most", bound: 10 * time.Second, over: 20 * time.Second, want: 5 * time.Second},
		{name: "where nothing waits for peers", close: -1, bound: 10 * time.Second, over: 20 * time.Second, want: 7 * time.Second},
		{name: "where peers have forever", close: 1<<63 - 1, bound: 10 * time.Second, over: 20 * time.Second, want: 5 * time.Second},
		{name: "of a time without end", bound: 20 * time.Second, over: 1<<63 - 1, want: 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := websocket.New(websocket.ControllerFunc(testws.Echo))
				u.CloseTimeout = tc.close
				c := gather(t, u, 100)
				ctx, cancel := context.WithTimeout(t.Context(), tc.bound)
				defer cancel()
				require.NoError(t, u.Drain(ctx, tc.over))
				assertSpread(t, c.toldAt(), tc.want)
			})
		})
	}
}

// A Serve that does not return has 3 seconds from its turn.
func TestDrainOfServeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, over = 10, 100 * time.Second
		turns := make(chan time.Time, clients)
		release := make(chan struct{})
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			turns <- time.Now()
			<-release
			return nil
		}))
		c := gather(t, u, clients)
		ended := drain(t.Context(), u, over)
		for _, at := range c.toldAt() {
			assert.Equal(t, 3*time.Second, c.begun.Add(at).Sub(<-turns))
		}
		assert.Equal(t, map[string]int{restarting: clients}, c.codes)
		synctest.Wait()
		assert.Empty(t, ended, "it waits for Serve")
		close(release)
		require.NoError(t, <-ended)
	})
}

// The context ends in the middle of the turns.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 10
		var causes testws.ErrorList
		u := readers["a Controller"](&causes)
		c := gather(t, u, clients)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := drain(ctx, u, 100*time.Second)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		told := c.toldSoFar()
		assert.Equal(t, clients/2, told)
		cancel(testws.ErrDatabase)
		err := <-ended
		require.ErrorIs(t, err, testws.ErrDatabase)
		require.ErrorContains(t, err, "websocket: drain: connections cut: 5: ")
		testws.AssertElapsed(t, c.begun, 50*time.Second)
		c.toldAt()
		assert.Equal(t, clients/2, c.codes[restarting])
		assert.Len(t, c.codes, 2, "%v", c.codes)
		testws.AwaitEnd(t, u)
		assert.Equal(t, slices.Repeat([]error{websocket.ErrShutdown}, clients), causes.All())
	})
}

func TestShutdownDuringDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 10
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		c := gather(t, u, clients)
		ended := drain(t.Context(), u, 100*time.Second)
		time.Sleep(30 * time.Second)
		require.NoError(t, u.Shutdown(t.Context()))
		require.NoError(t, <-ended)
		testws.AssertElapsed(t, c.begun, 30*time.Second)
		c.toldAt()
		assert.Equal(t, map[string]int{restarting: 3, shuttingDown: 7}, c.codes)
	})
}

// A connection keeps the close frame of its turn, also if a Shutdown comes before Serve returns.
func TestShutdownAfterTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error {
			time.Sleep(time.Minute)
			return nil
		}))
		c := gather(t, u, 1)
		ended := drain(t.Context(), u, 0)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		require.Error(t, u.Shutdown(ctx))
		assert.Equal(t, []time.Duration{2 * time.Second}, c.toldAt(), "half of the time of Shutdown is over")
		assert.Equal(t, map[string]int{restarting: 1}, c.codes)
		require.NoError(t, <-ended)
	})
}

func TestBeginShutdownDuringDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{serve: func(conn *websocket.Conn) error {
			<-conn.Context().Done()
			return context.Cause(conn.Context())
		}}
		c := gather(t, wstest.Serve(t, a), 5)
		ended := make(chan error, 1)
		go func() { ended <- a.endpoint.Drain(t.Context(), time.Hour) }()
		synctest.Wait()
		a.endpoint.BeginShutdown()
		c.toldAt()
		require.NoError(t, <-ended)
		testws.AssertElapsed(t, c.begun, 0)
		assert.Equal(t, 5, c.codes[shuttingDown]+c.codes[restarting])
		assert.LessOrEqual(t, c.codes[restarting], 1)
	})
}

// A shutdown that an adapter has begun needs no turns.
func TestDrainAfterBeginShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{serve: func(conn *websocket.Conn) error { return testws.Echo(conn, nil) }}
		c := gather(t, wstest.Serve(t, a), 5)
		a.endpoint.BeginShutdown()
		require.NoError(t, a.endpoint.Drain(t.Context(), time.Hour))
		testws.AssertElapsed(t, c.begun, 0)
		c.toldAt()
		assert.Equal(t, map[string]int{shuttingDown: 5}, c.codes)
	})
}

// A second Drain that is over earlier spreads those that are left over its own time. One that would
// be over later changes nothing: the first may have a deadline.
func TestDrainTwice(t *testing.T) {
	for _, tc := range []struct {
		name         string
		second, want time.Duration
	}{
		{name: "faster", second: 10 * time.Second, want: 10 * time.Second},
		{name: "at once", second: 0, want: 0},
		{name: "slower", second: 1000 * time.Second, want: 50 * time.Second},
		{name: "as fast", second: 50 * time.Second, want: 50 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const clients = 20
				u := websocket.New(websocket.ControllerFunc(testws.Echo))
				c := gather(t, u, clients)
				first := drain(t.Context(), u, 100*time.Second)
				time.Sleep(50 * time.Second)
				synctest.Wait()
				require.Equal(t, clients/2, c.toldSoFar())
				require.NoError(t, u.Drain(t.Context(), tc.second))
				require.NoError(t, <-first)
				told := c.toldAt()
				assertSpread(t, told[:clients/2], 50*time.Second)
				for i := range told[clients/2:] {
					told[clients/2+i] -= 50 * time.Second
				}
				if tc.want == 0 {
					assert.Equal(t, make([]time.Duration, clients/2), told[clients/2:])
				} else {
					assertSpread(t, told[clients/2:], tc.want)
				}
			})
		})
	}
}

// A connection that ends by itself makes place for another.
func TestDrainWhileClientsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, over = 100, 100 * time.Second
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		c := gather(t, u, clients)
		ended := drain(t.Context(), u, over)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 10, c.toldSoFar())
		leaving := u.Connections()[:60]
		for _, conn := range leaving {
			require.NoError(t, conn.Close(4000, "kicked"))
		}
		require.NoError(t, <-ended)
		told := c.toldAt()
		require.Len(t, told, clients)
		assert.Equal(t, 40, c.codes[restarting], "each that was left has had its turn")
		last := told[clients-1]
		assert.GreaterOrEqual(t, last, 39*time.Second)
		assert.Less(t, last, 40*time.Second, "the turns are no closer together")
	})
}

// All clients leave by themselves.
func TestDrainReturnsWhenNobodyIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		c := gather(t, u, 5)
		ended := drain(t.Context(), u, time.Hour)
		for _, conn := range u.Connections() {
			_ = conn.Close(4000, "")
		}
		require.NoError(t, <-ended)
		testws.AssertElapsed(t, c.begun, 0)
		c.toldAt()
	})
}

// A connection that is being closed is not told anything else, and is waited for.
func TestDrainOfConnectionsThatAreBeingClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			return conn.Close(4000, "enough")
		}))
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: time.Hour})
		client.ExpectClose(4000, "enough")
		time.Sleep(4 * time.Second)
		start := time.Now()
		require.NoError(t, u.Drain(t.Context(), time.Hour))
		testws.AssertElapsed(t, start, 6*time.Second)
		client.ExpectEnd()
	})
}

// A connection that has failed has no turn, but its Serve has no longer than 3 seconds to return,
// whether it has failed before or while it waits.
func TestDrainOfConnectionsThatHaveFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { time.Sleep(time.Minute); return testws.ErrDatabase })
			<-release
			return nil
		}))
		u.Logger = testws.Silent
		server := wstest.Serve(t, u)
		early := gather(t, server, 2)
		time.Sleep(59 * time.Second)
		late := gather(t, server, 1)
		time.Sleep(2 * time.Second) // the early ones have failed
		testws.AssertElapsed(t, early.begun, 61*time.Second)
		ended := drain(t.Context(), u, time.Hour)
		assert.Equal(t, []time.Duration{64 * time.Second, 64 * time.Second}, early.toldAt())
		late.toldAt()
		assert.Equal(t, map[string]int{restarting: 2}, early.codes)
		assert.Equal(t, map[string]int{restarting: 1}, late.codes)
		close(release)
		require.NoError(t, <-ended)
	})
}

// Drain waits for a handshake that is under way. Its connection is not served.
func TestDrainDuringUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checking := make(chan struct{})
		var served atomic.Bool
		u := websocket.New(&testws.CheckController{
			ControllerFunc: func(*websocket.Conn, *http.Request) error { served.Store(true); return nil },
			Check:          func(*http.Request) error { close(checking); time.Sleep(5 * time.Second); return nil },
		})
		server := wstest.Serve(t, u)
		dialed := make(chan *wstest.Raw, 1)
		go func() { dialed <- wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: time.Minute}) }()
		<-checking
		start := time.Now()
		ended := drain(t.Context(), u, time.Hour)
		client := <-dialed
		client.ExpectClose(1012, "Server restarting")
		testws.AssertElapsed(t, start, 5*time.Second)
		client.Send(wstest.Close(1012, ""))
		require.NoError(t, <-ended)
		testws.AssertElapsed(t, start, 5*time.Second)
		assert.False(t, served.Load())
	})
}

// Upgrades race with Drain: each is refused or ended.
func TestDrainRacesWithUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
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
					if testws.UpgradeBare(t, client) != http.StatusSwitchingProtocols {
						refused.Add(1)
						return
					}
					f, err := wstest.ReadFrame(client)
					assert.NoError(t, err)
					assert.Equal(t, 1012, f.CloseCode())
					told.Add(1)
				})
			}
			require.NoError(t, u.Drain(t.Context(), 20*time.Second)) // before the first ping
			running.Wait()
			assert.EqualValues(t, clients, refused.Load()+told.Load())
			assert.Zero(t, u.Stats().Open)
		}
	})
}

// A Serve may choose its close frame at its turn, too.
func TestChosenEndingWinsOverDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			time.Sleep(2 * time.Second)
			return websocket.NewCloseError(4001, "go to B")
		}))
		u.DrainClose = websocket.NewCloseError(4000, "unused")
		c := gather(t, u, 3)
		require.NoError(t, u.Drain(t.Context(), time.Minute))
		c.toldAt()
		assert.Equal(t, map[string]int{"websocket: close 4001: go to B": 3}, c.codes)
	})
}

// No goroutine waits for a turn but that of Drain, and connections that are parked stay so.
func TestDrainWaitsWithoutGoroutines(t *testing.T) {
	if !poller.Exists {
		t.Skip("this system has no poller")
	}
	const clients = 50
	u := websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
		return websocket.MessageHandlerFunc(conn.WriteMessage), nil
	}))
	server := httptest.NewServer(u)
	defer server.Close()
	var raws []*wstest.Raw
	for range clients {
		raws = append(raws, wstest.DialRaw(t, server, "/", nil))
	}
	parked := func() bool { return u.Stats().Open == clients && !strings.Contains(goroutines(), ".ReadOrPark(") }
	require.Eventually(t, parked, time.Minute, time.Millisecond)
	ended := make(chan error, 1)
	go func() { ended <- u.Drain(t.Context(), 24*time.Hour) }()
	require.Eventually(t, func() bool { return strings.Contains(goroutines(), ".takeTurns(") }, time.Minute, time.Millisecond)
	assert.True(t, parked())
	assert.NotContains(t, goroutines(), ".closeForShutdown(")
	hurried := make(chan error, 1)
	go func() { hurried <- u.Drain(t.Context(), 0) }()
	for _, client := range raws {
		client.ExpectClose(1012, "Server restarting")
		client.Send(wstest.Close(1012, ""))
	}
	require.NoError(t, <-hurried)
	require.NoError(t, <-ended)
}
