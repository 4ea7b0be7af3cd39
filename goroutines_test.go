package websocket_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
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

func TestGo(t *testing.T) {
	stays := func(conn *websocket.Conn) error { <-conn.Context().Done(); return nil }
	cases := []struct {
		name  string
		f     func(ctx context.Context, conn *websocket.Conn) error
		serve func(conn *websocket.Conn) error
		code  int
		is    error
		text  string
	}{
		{name: "an error ends a Serve that reads", f: func(context.Context, *websocket.Conn) error { return testws.ErrDatabase }, serve: func(conn *websocket.Conn) error { return testws.ReadLoop(testws.Wrapped)(conn, nil) }, code: 1011, is: testws.ErrDatabase},
		{name: "an error ends a Serve that waits for its context", f: func(context.Context, *websocket.Conn) error { return testws.ErrDatabase }, serve: stays, code: 1011, is: testws.ErrDatabase},
		{name: "an error counts, though Serve returns the context's", f: func(context.Context, *websocket.Conn) error { return testws.ErrDatabase }, serve: func(conn *websocket.Conn) error {
			<-conn.Context().Done()
			return conn.Context().Err()
		}, code: 1011, is: testws.ErrDatabase},
		{name: "a panic", f: func(context.Context, *websocket.Conn) error { panic("oh") }, serve: stays, code: 1011, text: "panic: oh"},
		{name: "a panic that Serve's read returned", f: func(context.Context, *websocket.Conn) error { panic("oh") }, serve: func(conn *websocket.Conn) error { return testws.ReadLoop(testws.Returned)(conn, nil) }, code: 1011, text: "panic: oh"},
		{name: "a panic that Serve wrapped", f: func(context.Context, *websocket.Conn) error { panic("oh") }, serve: func(conn *websocket.Conn) error { return testws.ReadLoop(testws.Wrapped)(conn, nil) }, code: 1011, text: "panic: oh"},
		{name: "a panic that is the cause of Serve's context", f: func(context.Context, *websocket.Conn) error { panic("oh") }, serve: func(conn *websocket.Conn) error {
			<-conn.Context().Done()
			return testws.Wrapped(context.Cause(conn.Context()))
		}, code: 1011, text: "panic: oh"},
		{name: "Goexit, and what Serve's read returned", f: func(context.Context, *websocket.Conn) error { runtime.Goexit(); return nil }, serve: func(conn *websocket.Conn) error { return testws.ReadLoop(testws.Wrapped)(conn, nil) }, code: 1011, text: "Goexit"},
		{name: "Goexit", f: func(context.Context, *websocket.Conn) error { runtime.Goexit(); return nil }, serve: stays, code: 1011, text: "Goexit"},
		{name: "a chosen ending", f: func(context.Context, *websocket.Conn) error { return websocket.NewCloseError(4000, "") }, serve: stays, code: 4000},
		{name: "nil means nothing", f: func(context.Context, *websocket.Conn) error { return nil }, serve: func(*websocket.Conn) error { return websocket.NewCloseError(4001, "") }, code: 4001},
		{name: "the end of the context is no failure", f: func(ctx context.Context, _ *websocket.Conn) error { <-ctx.Done(); return ctx.Err() }, serve: func(*websocket.Conn) error { return nil }, code: 1000},
		{name: "a write after the end is no failure", f: func(ctx context.Context, conn *websocket.Conn) error {
			<-ctx.Done()
			return testws.Wrapped(conn.WriteMessage(websocket.TextMessage, nil))
		}, serve: func(*websocket.Conn) error { return nil }, code: 1000},
		{name: "a failure after Serve returned is told too", f: func(ctx context.Context, _ *websocket.Conn) error { <-ctx.Done(); return testws.ErrDatabase }, serve: func(*websocket.Conn) error { return nil }, code: 1000, is: testws.ErrDatabase},
		{name: "a panic after Serve returned is told too", f: func(ctx context.Context, _ *websocket.Conn) error { <-ctx.Done(); panic("late") }, serve: func(*websocket.Conn) error { return nil }, code: 1000, text: "panic: late"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
					conn.Go(func(ctx context.Context) error { return c.f(ctx, conn) })
					return c.serve(conn)
				}}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				got, err := client.Receive()
				require.NoError(t, err)
				assert.Equal(t, c.code, got.CloseCode())
				client.Send(wstest.Close(c.code, ""))
				client.ExpectEnd()
				testws.AwaitEnd(t, u)
				if c.is == nil && c.text == "" {
					require.Empty(t, ctrl.Told.All())
					return
				}
				require.Len(t, ctrl.Told.All(), 1)
				require.ErrorContains(t, ctrl.Told.All()[0], c.text)
				if c.text != "" {
					require.Equal(t, 1, strings.Count(ctrl.Told.All()[0].Error(), c.text), "%v", ctrl.Told.All()[0])
				}
				if c.is != nil {
					require.ErrorIs(t, ctrl.Told.All()[0], c.is)
				}
			})
		})
	}
}

func TestFirstErrorOfTheFunctionsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := errors.New("second")
		var log testws.Logs
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { return testws.ErrDatabase })
			synctest.Wait()
			conn.Go(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
			conn.Go(func(ctx context.Context) error { <-ctx.Done(); return second })
			synctest.Wait() // all functions have failed before the read begins
			_, _, err := conn.ReadMessage()
			assert.ErrorIs(t, err, testws.ErrDatabase)
			synctest.Wait()
			return err
		}))
		u.Logger = log.Logger()
		u.Debug = true
		client := wstest.Dial(t, u, "/", nil)
		client.ExpectClose(1011, "database is away\nsecond")
		_ = client.Conn.Close()
		testws.AwaitEnd(t, u)
		require.Len(t, log.All(), 1)
		assert.Equal(t, slog.LevelError, log.All()[0].Level)
	})
}

// If a function panics, and Serve then panics too, both are reported.
func TestTwoPanicsAreTwo(t *testing.T) {
	ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
		conn.Go(func(context.Context) error { panic("first") })
		_, _, err := conn.ReadMessage()
		panic(err)
	}}
	u := websocket.New(ctrl)
	u.Debug = true
	client := wstest.Dial(t, u, "/", nil)
	client.ExpectClose(1011, "first\nwebsocket: read: websocket: panic: first")
	_ = client.Conn.Close()
	testws.AwaitEnd(t, u)
	require.Len(t, ctrl.Told.All(), 1)
	require.ErrorContains(t, ctrl.Told.All()[0], "websocket: panic: first\nwebsocket: panic: websocket: read: websocket: panic: first")
}

// A panic is reported once, even if another function later returns it as its error.
func TestPanicIsNotToldAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute)
				return testws.Wrapped(context.Cause(ctx))
			})
			conn.Go(func(context.Context) error { panic("oh") })
			return testws.ReadLoop(testws.Wrapped)(conn, nil)
		}}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, u, "/", nil)
		client.ExpectClose(1011, "Internal Server Error")
		client.Send(wstest.Close(1011, ""))
		client.ExpectEnd()
		start := time.Now()
		require.NoError(t, u.Shutdown(t.Context()))
		testws.AssertElapsed(t, start, time.Minute)
		require.Len(t, ctrl.Told.All(), 1)
		assert.EqualError(t, ctrl.Told.All()[0], "websocket: panic: oh")
	})
}

// With Debug, the close frame has the value of the panic, and nothing else.
func TestDebugTextOfAPanic(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(conn *websocket.Conn) error
		text  string
	}{
		{name: "a string", serve: func(*websocket.Conn) error { panic("oh") }, text: "oh"},
		{name: "an error", serve: func(*websocket.Conn) error { panic(testws.ErrDatabase) }, text: testws.ErrDatabase.Error()},
		{name: "a value", serve: func(*websocket.Conn) error { panic(42) }, text: "42"},
		{name: "nil", serve: func(*websocket.Conn) error { panic(nil) }, text: "panic called with nil argument"}, //nolint:govet // that is the test
		{name: "Goexit", serve: func(*websocket.Conn) error { runtime.Goexit(); return nil }, text: "websocket: controller left by runtime.Goexit"},
		{name: "of a function", serve: func(conn *websocket.Conn) error {
			conn.Go(func(context.Context) error { panic("oh") })
			return testws.ReadLoop(testws.Wrapped)(conn, nil)
		}, text: "oh"},
		{name: "CloseWithError", serve: func(conn *websocket.Conn) error {
			return conn.CloseWithError(&websocket.PanicError{Value: "oh"})
		}, text: "oh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := websocket.New(&testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error { return c.serve(conn) }})
			u.Debug = true
			client := wstest.Dial(t, u, "/", nil)
			client.ExpectClose(1011, c.text)
			_ = client.Conn.Close()
			testws.AwaitEnd(t, u)
		})
	}
}

func TestEndOfServeWaitsForItsFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Bool
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			started := conn.Go(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute)
				left.Store(true)
				assert.False(t, conn.Go(func(context.Context) error { panic("too late to be called") }))
				return nil
			})
			assert.True(t, started)
			return nil
		}))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", nil)
		client.ExpectClose(1000, websocket.NormalClosureMessage)
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		assert.Equal(t, 1, u.Stats().Open)
		start := time.Now()
		require.NoError(t, u.Shutdown(t.Context()))
		testws.AssertElapsed(t, start, time.Minute)
		assert.True(t, left.Load())
	})
}

func TestServeMayWriteWhileAFunctionReads(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { return testws.ReadLoop(testws.Wrapped)(conn, nil) })
			for {
				select {
				case <-conn.Context().Done():
					return nil
				default:
					if err := conn.WriteMessage(websocket.TextMessage, []byte("tick")); err != nil {
						return testws.Wrapped(err)
					}
				}
			}
		}))
		u.Logger = testws.Silent
		client := wstest.Dial(t, serve(u), "/", nil)
		for range 100 {
			client.ExpectText("tick")
		}
		client.Close(1000, "")
		testws.AwaitEnd(t, u)
	})
}
