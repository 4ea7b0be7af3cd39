package websocket_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestObserverOfEndings(t *testing.T) {
	cases := []struct {
		name     string
		serve    websocket.ControllerFunc
		peer     func(client *wstest.Raw)
		code     int
		cause    error // nil: what the close frame says
		panicked bool
		after    time.Duration
	}{
		{name: "Serve returns nil", code: 1000, serve: func(*websocket.Conn, *http.Request) error { return nil }},
		{name: "Serve fails", code: 1011, cause: testws.ErrDatabase, serve: func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase }},
		{name: "Serve panics", code: 1011, cause: testws.ErrDatabase, panicked: true, serve: func(*websocket.Conn, *http.Request) error { panic(testws.ErrDatabase) }},
		{name: "Serve leaves by Goexit", code: 1011, panicked: true, cause: &websocket.PanicError{}, serve: func(*websocket.Conn, *http.Request) error {
			runtime.Goexit()
			return nil
		}},
		{name: "a goroutine panics", code: 1011, cause: testws.ErrDatabase, panicked: true, serve: func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { panic(testws.ErrDatabase) })
			<-conn.Context().Done()
			return nil
		}},
		{name: "a goroutine panics when all is over", code: 1000, cause: testws.ErrDatabase, panicked: true, serve: func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(ctx context.Context) error { <-ctx.Done(); panic(testws.ErrDatabase) })
			return nil
		}},
		{name: "Serve chooses a code", code: 4003, serve: func(*websocket.Conn, *http.Request) error { return websocket.NewCloseError(4003, "why") }},
		{name: "Close is called", code: 4004, serve: func(conn *websocket.Conn, _ *http.Request) error { return conn.Close(4004, "") }},
		{name: "CloseNow is called", code: 1006, cause: net.ErrClosed, serve: func(conn *websocket.Conn, _ *http.Request) error {
			time.Sleep(time.Second)
			return conn.CloseNow()
		}},
		{name: "the peer closes", code: 3000, serve: testws.Echo, peer: func(client *wstest.Raw) { client.Send(wstest.Close(3000, "bye")) }},
		{name: "the peer closes without a code", code: 1005, serve: testws.Echo, peer: func(client *wstest.Raw) { client.Send(wstest.Close(1005, "")) }},
		{name: "the peer breaks the protocol", code: 1002, cause: errors.ErrUnsupported, serve: testws.Echo, peer: func(client *wstest.Raw) { client.Send(wstest.Text("").Unmasked()) }},
		{name: "the peer hangs up", code: 1006, serve: testws.Echo, peer: func(client *wstest.Raw) { _ = client.Conn.Close() }},
		{name: "the peer is silent", code: 1006, cause: websocket.ErrPeerGone, after: 40 * time.Second, serve: testws.Echo, peer: func(*wstest.Raw) {}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o testws.Observed
				u := websocket.New(tc.serve)
				u.Logger, u.Observer = testws.Silent, o.Observer()
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
				synctest.Wait()
				o.Mu.Lock()
				assert.Len(t, o.Conns, 1)
				o.Mu.Unlock()
				time.Sleep(time.Second)
				if tc.peer != nil {
					tc.peer(client)
				} else {
					_, _ = client.Receive()
					_, _ = client.Write(wstest.Close(1000, "").Bytes()) // whatever it was
				}
				time.Sleep(tc.after)
				synctest.Wait()
				if tc.code == 1002 {
					_ = client.Conn.Close()
				}
				testws.AwaitEnd(t, u)
				got := o.Only(t)
				assert.Equal(t, tc.code, got.Code)
				assert.Equal(t, tc.panicked, got.Panicked)
				assert.Equal(t, max(tc.after, time.Second), got.Duration.Truncate(time.Second))
				var breach *websocket.CloseError
				switch {
				case tc.cause == nil:
					require.ErrorAs(t, got.Cause, &breach)
					assert.Equal(t, tc.code, breach.Code)
				case errors.Is(tc.cause, errors.ErrUnsupported):
					assert.ErrorContains(t, got.Cause, "not masked")
				case errors.As(tc.cause, new(*websocket.PanicError)):
					assert.ErrorContains(t, got.Cause, "Goexit")
				default:
					assert.ErrorIs(t, got.Cause, tc.cause)
				}
			})
		})
	}
}

func TestObserverOfShutdown(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var o testws.Observed
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Observer = o.Observer()
		target := serve(u)
		client := wstest.Dial(t, target, "/", nil)
		client.WriteText("x")
		client.ExpectText("x")
		go client.ExpectClose(1001, "Server shutting down")
		require.NoError(t, u.Shutdown(t.Context()))
		got := o.Only(t) // Shutdown has waited for it
		assert.Equal(t, websocket.CloseGoingAway, got.Code)
		assert.Equal(t, websocket.ErrShutdown, got.Cause)

		wstest.DialRefused(t, target, "/late", nil) //nolint:bodyclose // it is in memory
		o.Mu.Lock()
		defer o.Mu.Unlock()
		assert.Equal(t, []string{"/late 503 websocket: server shutting down"}, o.Refusals)
	})
}

func TestObserverOfRefusals(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var o testws.Observed
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Observer = o.Observer()
		wstest.DialRefused(t, serve(u), "/room", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
		o.Mu.Lock()
		defer o.Mu.Unlock()
		require.Len(t, o.Refusals, 1)
		assert.Regexp(t, `^/room 403 .*evil\.test`, o.Refusals[0])
		assert.Empty(t, o.Conns)
	})
}

// panicking is an Observer whose functions panic.
type panicking struct{}

func (p panicking) observer() *websocket.Observer {
	return &websocket.Observer{UpgradeRefused: p.UpgradeRefused, Opened: p.Opened, Ended: p.Ended}
}

func (panicking) UpgradeRefused(*http.Request, int, error) { panic("refused") }
func (panicking) Opened(*websocket.Conn)                   { panic("opened") }
func (panicking) Ended(*websocket.Conn, websocket.Ending)  { runtime.Goexit() }

func TestObserverThatPanicsHurtsNobody(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var lines testws.Logs
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Observer, u.Logger = panicking{}.observer(), lines.Logger()
		target := serve(u)
		response := wstest.DialRefused(t, target, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		client := wstest.Dial(t, target, "/", nil)
		client.WriteText("x")
		client.ExpectText("x")
		client.Close(1000, "")
		testws.AwaitEnd(t, u)
		failures := 0
		for _, line := range lines.All() {
			if line.Err != nil && errors.As(line.Err, new(*websocket.PanicError)) {
				assert.ErrorContains(t, line.Err, "Options.Observer failed")
				failures++
			}
		}
		assert.Equal(t, 3, failures)
	})
}

// An observer may have none of its functions.
func TestObserverWithoutFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testws.Logs
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Observer, u.Logger = &websocket.Observer{}, lines.Logger()
		wstest.DialRefused(t, u, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
		client := wstest.Dial(t, u, "/", nil)
		client.Close(1000, "")
		testws.AwaitEnd(t, u)
		for _, line := range lines.All() {
			assert.Equal(t, slog.LevelDebug, line.Level, "%v", line.Err)
		}
	})
}

// Each of several observers is called, in order, whatever the others do.
func TestObserversJoined(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var first, last testws.Observed
		var lines testws.Logs
		var mu sync.Mutex
		var order []string
		said := func(who string) { mu.Lock(); order = append(order, who); mu.Unlock() }
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = lines.Logger()
		u.Observer = websocket.JoinObservers(
			first.Observer(), nil, &websocket.Observer{},
			&websocket.Observer{
				UpgradeRefused: func(*http.Request, int, error) { panic("refused, the first") },
				Opened:         func(*websocket.Conn) { said("the first"); panic("opened, the first") },
				Ended:          func(*websocket.Conn, websocket.Ending) { panic("ended, the first") },
			},
			websocket.JoinObservers(
				&websocket.Observer{Opened: func(*websocket.Conn) { said("the second"); panic(testws.ErrDatabase) }},
				last.Observer(),
			),
		)
		target := serve(u)
		wstest.DialRefused(t, target, "/room", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
		client := wstest.Dial(t, target, "/", nil)
		client.Close(4000, "")
		testws.AwaitEnd(t, u)
		for _, o := range []*testws.Observed{&first, &last} {
			assert.Equal(t, 4000, o.Only(t).Code)
			require.Len(t, o.Refusals, 1)
			assert.Regexp(t, `^/room 403 `, o.Refusals[0])
		}
		assert.Equal(t, []string{"the first", "the second"}, order)
		var told []error
		for _, line := range lines.All() {
			if line.Level == slog.LevelError {
				told = append(told, line.Err)
			}
		}
		require.Len(t, told, 3)
		assert.ErrorContains(t, told[0], "refused, the first")
		assert.ErrorContains(t, told[1], "opened, the first")
		assert.ErrorIs(t, told[1], testws.ErrDatabase, "the panics of both are told")
		assert.ErrorContains(t, told[2], "ended, the first")
		assert.ErrorAs(t, told[2], new(*websocket.PanicError))
	})
}

// Shutdown is called while Serve cleans up: it is not what ended the connection.
func TestObserverOfAnEndBeforeShutdown(t *testing.T) {
	for name, end := range map[string]func(conn *websocket.Conn, client *wstest.Raw) error{
		"the peer vanishes": func(conn *websocket.Conn, client *wstest.Raw) error {
			_ = client.Close()
			_, _, err := conn.ReadMessage()
			return err
		},
		"CloseNow": func(conn *websocket.Conn, _ *wstest.Raw) error { return conn.CloseNow() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o testws.Observed
				clients := make(chan *wstest.Raw, 1)
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
					err := end(conn, <-clients)
					time.Sleep(time.Second) // "user left" to the database
					return err
				}}
				u := websocket.New(ctrl)
				u.Observer, u.Logger = o.Observer(), testws.Silent
				clients <- wstest.DialRaw(t, u, "/", nil)
				time.Sleep(time.Second / 2)
				assert.NoError(t, u.Shutdown(context.Background()))
				assert.NotErrorIs(t, o.Only(t).Cause, websocket.ErrShutdown)
			})
		})
	}
}

func TestObserverOfACloseFrameThatDidNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o testws.Observed
		u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error {
			time.Sleep(time.Second)
			return nil
		}))
		u.Observer, u.Logger = o.Observer(), testws.Silent
		client := wstest.DialRaw(t, u, "/", nil)
		wstest.Reset(client.Conn)
		testws.AwaitEnd(t, u)
		e := o.Only(t)
		assert.Equal(t, websocket.CloseAbnormalClosure, e.Code)
		var ce *websocket.CloseError
		assert.False(t, errors.As(e.Cause, &ce) && ce.Code == 1000, "%v", e.Cause)
	})
}

func TestObserverOfAPeerGoneWhileCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o testws.Observed
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error {
				_ = conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer))
				return nil
			})
			conn.Go(func(context.Context) error {
				time.Sleep(time.Second)
				_ = conn.Close(4000, "")
				return nil
			})
			_, _, err := conn.ReadMessage()
			return err
		}))
		u.Observer, u.Logger, u.WriteTimeout, u.CloseTimeout = o.Observer(), testws.Silent, -1, time.Minute
		client := wstest.DialRaw(t, u, "/", nil)
		time.Sleep(2 * time.Minute)
		testws.AwaitEnd(t, u)
		e := o.Only(t)
		assert.EqualValues(t, 1, u.Stats().PeersGone)
		assert.ErrorIs(t, e.Cause, websocket.ErrPeerGone)
		_ = client.Close()
	})
}
