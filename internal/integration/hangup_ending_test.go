package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
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

// The peer's close frame decides, whatever Serve does after a write has failed.
func TestEndingAfterAFailedWrite(t *testing.T) {
	fail := func(conn *websocket.Conn) error { return conn.WriteMessage(websocket.TextMessage, nil) }
	cases := []struct {
		name  string
		serve func(conn *websocket.Conn, r *http.Request) error
		want  error // what OnError receives; nil: it is not called
	}{
		{name: "Serve returns the error", serve: func(conn *websocket.Conn, _ *http.Request) error { return testws.Wrapped(fail(conn)) }},
		{name: "Serve hides the error", serve: func(conn *websocket.Conn, _ *http.Request) error { _ = fail(conn); return nil }},
		{name: "Serve fails by itself", want: testws.ErrDatabase, serve: func(conn *websocket.Conn, _ *http.Request) error { _ = fail(conn); return testws.ErrDatabase }},
		{name: "Serve returns the cause of the context", serve: func(conn *websocket.Conn, r *http.Request) error {
			go func() { _ = fail(conn) }()
			<-r.Context().Done()
			return context.Cause(r.Context())
		}},
		{name: "Serve calls Close", serve: func(conn *websocket.Conn, _ *http.Request) error {
			err := fail(conn)
			assert.Equal(t, err, conn.Close(1000, "bye"))
			return err
		}},
		{name: "Close itself fails", serve: func(conn *websocket.Conn, _ *http.Request) error {
			assert.True(t, websocket.IsDisconnect(conn.Close(1000, "bye")))
			return nil
		}},
		{name: "the close frame of a controller's choice fails", serve: func(*websocket.Conn, *http.Request) error {
			return websocket.NewCloseError(4000, "bye")
		}},
		{name: "the close frame of the end of Serve fails", serve: func(*websocket.Conn, *http.Request) error { return nil }},
		{name: "a CloseMessage fails", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.WriteMessage(websocket.CloseMessage, nil)
		}},
		{name: "Serve calls CloseNow", serve: func(conn *websocket.Conn, _ *http.Request) error {
			defer func() { _ = conn.CloseNow() }()
			return fail(conn)
		}},
		{name: "Serve calls gorilla's Close", serve: func(conn *websocket.Conn, _ *http.Request) error {
			defer func() { _ = conn.Conn.Close() }()
			return fail(conn)
		}},
		{name: "Serve reads half a message", serve: func(conn *websocket.Conn, _ *http.Request) error {
			err := fail(conn)
			testws.ReadByte(conn)
			return err
		}},
		{name: "a function of the connection returns the error", serve: func(conn *websocket.Conn, r *http.Request) error {
			conn.Go(func(context.Context) error { return testws.Wrapped(fail(conn)) })
			<-r.Context().Done()
			return nil
		}},
		{name: "CloseRead reads", serve: func(conn *websocket.Conn, r *http.Request) error {
			_ = fail(conn)
			<-conn.CloseRead(r.Context()).Done()
			return nil
		}},
	}
	for _, c := range cases {
		for name, timeout := range map[string]time.Duration{"": 0, ", without a close timeout": -1} {
			t.Run(c.name+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					gone := make(chan struct{})
					ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
						<-gone
						return c.serve(conn, r)
					}}
					u := websocket.New(ctrl)
					var o testws.Observed
					u.Observer, u.CloseTimeout = o.Observer(), timeout
					hangUp(t, wstest.DialRaw(t, u, "/", nil))
					start := time.Now()
					close(gone)
					testws.AwaitEnd(t, u)
					assert.Less(t, time.Since(start), 2*time.Millisecond) // the tick of ended
					if c.want == nil {
						assert.Empty(t, ctrl.Told.All())
					} else {
						assert.Equal(t, []error{c.want}, ctrl.Told.All())
					}
					assert.Equal(t, 4001, o.Only(t).Code)
				})
			})
		}
	}
}

// Without a close frame the peer has vanished. The reported error is the one that Serve
// returned.
func TestVanishedAfterAFailedWrite(t *testing.T) {
	for name, serve := range map[string]func(conn *websocket.Conn) error{
		"that Serve returns": func(conn *websocket.Conn) error {
			return fmt.Errorf("in its own words: %w", conn.WriteMessage(websocket.TextMessage, nil))
		},
		"behind which Serve reads": func(conn *websocket.Conn) error {
			_ = conn.WriteMessage(websocket.TextMessage, nil)
			_, p, err := conn.ReadMessage()
			assert.NoError(t, err)
			assert.Equal(t, "last word", string(p))
			_, _, err = conn.ReadMessage()
			return fmt.Errorf("in its own words: %w", err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				serve := func(conn *websocket.Conn, _ *http.Request) error {
					<-gone
					return serve(conn)
				}
				var log testws.Logs
				var o testws.Observed
				u := websocket.New(websocket.ControllerFunc(serve))
				u.Logger, u.Observer = log.Logger(), o.Observer()
				client := wstest.DialRaw(t, u, "/", nil)
				client.Send(wstest.Text("last word"))
				require.NoError(t, client.Close())
				close(gone)
				testws.AwaitEnd(t, u)
				require.Len(t, log.All(), 1)
				assert.Equal(t, slog.LevelDebug, log.All()[0].Level)
				assert.ErrorContains(t, log.All()[0].Err, "in its own words")
				assert.True(t, websocket.IsDisconnect(log.All()[0].Err))
				assert.Equal(t, 1006, o.Only(t).Code)
			})
		})
	}
}

// A protocol violation before the peer hung up is reported as a protocol violation.
func TestBreachBeforeAHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
			<-gone
			return conn.WriteMessage(websocket.TextMessage, nil)
		}}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, u, "/", nil)
		client.Send(wstest.Text("x"), wstest.Frame{Fin: true, Opcode: 7, Masked: true})
		require.NoError(t, client.Close())
		close(gone)
		testws.AwaitEnd(t, u)
		require.Len(t, ctrl.Told.All(), 1)
		assert.ErrorContains(t, ctrl.Told.All()[0], "reserved opcode")
	})
}

// A controller that stops reading holds the socket for the close timeout. What it has not
// read is lost then, and no later read pretends otherwise.
func TestHangUpOfAControllerThatReadsNoMore(t *testing.T) {
	const grace = 10 * time.Millisecond // for what is read away at last
	for _, timeout := range []time.Duration{10 * time.Second, time.Second, 20 * time.Millisecond} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: timeout})
				hangUp(t, client)
				start := time.Now()
				failure := conn.WriteMessage(websocket.TextMessage, nil)
				require.Error(t, failure)
				time.Sleep(timeout - grace - 1)
				synctest.Wait()
				_, err := conn.NetConn().Write(nil)
				require.NotErrorIs(t, err, net.ErrClosed, "until then")
				_, p, err := conn.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, "0", string(p))
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				_, err = conn.NetConn().Read(make([]byte, 1))
				require.ErrorIs(t, err, net.ErrClosed)
				testws.AssertElapsed(t, start, timeout-grace)
				for range 2 {
					_, _, err = conn.ReadMessage()
					require.Equal(t, failure, err)
				}
			})
		})
	}
	t.Run("is told of the close frame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gone := make(chan struct{})
			ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
				<-gone
				_ = conn.WriteMessage(websocket.TextMessage, nil)
				<-r.Context().Done()
				time.Sleep(20 * time.Second)
				return nil
			}}
			u := websocket.New(ctrl)
			var o testws.Observed
			u.Observer = o.Observer()
			hangUp(t, wstest.DialRaw(t, u, "/", nil))
			close(gone)
			testws.AwaitEnd(t, u)
			assert.Empty(t, ctrl.Told.All())
			assert.Equal(t, 4001, o.Only(t).Code)
		})
	})
}

// muted is a connection whose writes fail, from some point on, with an error of its own.
// Reads wait.
type muted struct {
	net.Conn
	from *atomic.Bool
}

var errMuted = errors.New("stream was reset")

func (c muted) Write(p []byte) (int, error) {
	if c.from.Load() {
		return 0, errMuted
	}
	return c.Conn.Write(p)
}

type mutedListener struct {
	net.Listener
	from atomic.Bool
}

func (l *mutedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return muted{conn, &l.from}, err
}

// A network may not report the end of the stream: a read that waits for it is bounded.
func TestHangUpOfANetworkThatDoesNotEndReads(t *testing.T) {
	for name, act := range map[string]func(conn *websocket.Conn, failure error) error{
		"a read": func(conn *websocket.Conn, _ error) error {
			_, _, err := conn.ReadMessage()
			return err
		},
		"Close":            func(conn *websocket.Conn, _ error) error { return conn.Close(1000, "") },
		"the end of Serve": func(_ *websocket.Conn, failure error) error { return failure },
		"who does nothing": func(conn *websocket.Conn, failure error) error {
			for closed := false; !closed; time.Sleep(time.Second) {
				_, err := conn.NetConn().Read(nil)
				closed = errors.Is(err, net.ErrClosed)
			}
			return failure
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := wstest.Listen()
				listener := &mutedListener{Listener: memory}
				var o testws.Observed
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					listener.from.Store(true)
					start := time.Now()
					failure := conn.WriteMessage(websocket.TextMessage, nil)
					assert.ErrorIs(t, failure, errMuted)
					assert.True(t, websocket.IsDisconnect(failure))
					testws.AssertElapsed(t, start, 0)
					err := act(conn, failure)
					assert.Equal(t, failure, err)
					return err
				}))
				u.Logger, u.Observer = testws.Silent, o.Observer()
				server := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
				defer func() { _ = server.Close() }()
				go func() { _ = server.Serve(listener) }()
				client, err := memory.DialContext(t.Context())
				require.NoError(t, err)
				defer func() { _ = client.Close() }()
				start := time.Now()
				require.Equal(t, http.StatusSwitchingProtocols, testws.UpgradeBare(t, client))
				rest, err := io.ReadAll(client)
				require.NoError(t, err)
				assert.Empty(t, rest)
				testws.AssertElapsed(t, start, 10*time.Second)
				testws.AwaitEnd(t, u)
				assert.ErrorIs(t, o.Only(t).Cause, errMuted)
			})
		})
	}
}
