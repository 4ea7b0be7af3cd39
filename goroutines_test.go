package websocket_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
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
		{name: "an error ends a Serve that reads", f: func(context.Context, *websocket.Conn) error { return errDatabase }, serve: func(conn *websocket.Conn) error { return reader(wrapped)(conn, nil) }, code: 1011, is: errDatabase},
		{name: "an error ends a Serve that waits for its context", f: func(context.Context, *websocket.Conn) error { return errDatabase }, serve: stays, code: 1011, is: errDatabase},
		{name: "an error counts, though Serve returns the context's", f: func(context.Context, *websocket.Conn) error { return errDatabase }, serve: func(conn *websocket.Conn) error {
			<-conn.Context().Done()
			return conn.Context().Err()
		}, code: 1011, is: errDatabase},
		{name: "a panic", f: func(context.Context, *websocket.Conn) error { panic("oh") }, serve: stays, code: 1011, text: "panic: oh"},
		{name: "Goexit", f: func(context.Context, *websocket.Conn) error { runtime.Goexit(); return nil }, serve: stays, code: 1011, text: "Goexit"},
		{name: "a chosen ending", f: func(context.Context, *websocket.Conn) error { return websocket.NewCloseError(4000, "") }, serve: stays, code: 4000},
		{name: "nil means nothing", f: func(context.Context, *websocket.Conn) error { return nil }, serve: func(*websocket.Conn) error { return websocket.NewCloseError(4001, "") }, code: 4001},
		{name: "the end of the context is no failure", f: func(ctx context.Context, _ *websocket.Conn) error { <-ctx.Done(); return ctx.Err() }, serve: func(*websocket.Conn) error { return nil }, code: 1000},
		{name: "a write after the end is no failure", f: func(ctx context.Context, conn *websocket.Conn) error {
			<-ctx.Done()
			return wrapped(conn.WriteMessage(websocket.TextMessage, nil))
		}, serve: func(*websocket.Conn) error { return nil }, code: 1000},
		{name: "a failure after Serve returned is told too", f: func(ctx context.Context, _ *websocket.Conn) error { <-ctx.Done(); return errDatabase }, serve: func(*websocket.Conn) error { return nil }, code: 1000, is: errDatabase},
		{name: "a panic after Serve returned is told too", f: func(ctx context.Context, _ *websocket.Conn) error { <-ctx.Done(); panic("late") }, serve: func(*websocket.Conn) error { return nil }, code: 1000, text: "panic: late"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ctrl := &controller{serve: func(conn *websocket.Conn, _ *http.Request) error {
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
				ended(t, u)
				if c.is == nil && c.text == "" {
					require.Empty(t, ctrl.told.all())
					return
				}
				require.Len(t, ctrl.told.all(), 1)
				require.ErrorContains(t, ctrl.told.all()[0], c.text)
				if c.is != nil {
					require.ErrorIs(t, ctrl.told.all()[0], c.is)
				}
			})
		})
	}
}

func TestFirstErrorOfTheFunctionsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := errors.New("second")
		var log logs
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { return errDatabase })
			synctest.Wait()
			conn.Go(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
			conn.Go(func(ctx context.Context) error { <-ctx.Done(); return second })
			synctest.Wait() // all have failed before the read begins
			_, _, err := conn.ReadMessage()
			assert.ErrorIs(t, err, errDatabase)
			synctest.Wait()
			return err
		}))
		u.Log = log.log
		u.Debug = true
		client := wstest.Dial(t, u, "/", nil)
		client.ExpectClose(1011, "database is away\nsecond")
		_ = client.Conn.Close()
		ended(t, u)
		require.Len(t, log.all(), 1)
		assert.Equal(t, slog.LevelError, log.all()[0].level)
	})
}

func TestEndOfServeWaitsForItsFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left atomic.Bool
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute)
				left.Store(true)
				conn.Go(func(context.Context) error { panic("too late to be called") })
				return nil
			})
			return nil
		}))
		u.Log = silent
		client := wstest.DialRaw(t, u, "/", nil)
		client.ExpectClose(1000, websocket.NormalClosureMessage)
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		assert.Equal(t, 1, u.Stats().Open)
		start := time.Now()
		require.NoError(t, u.Shutdown(t.Context()))
		after(t, start, time.Minute)
		assert.True(t, left.Load())
	})
}

func TestServeMayWriteWhileAFunctionReads(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { return reader(wrapped)(conn, nil) })
			for {
				select {
				case <-conn.Context().Done():
					return nil
				default:
					if err := conn.WriteMessage(websocket.TextMessage, []byte("tick")); err != nil {
						return wrapped(err)
					}
				}
			}
		}))
		u.Log = silent
		client := wstest.Dial(t, serve(u), "/", nil)
		for range 100 {
			client.ExpectText("tick")
		}
		client.Close(1000, "")
		ended(t, u)
	})
}
