package integration_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An undatedConn belongs to a network that has no deadlines and returns an error for them,
// as the channels of SSH do.
type undatedConn struct{ net.Conn }

var errNoDeadlines = errors.New("deadlines are not supported")

func (undatedConn) SetDeadline(time.Time) error      { return errNoDeadlines }
func (undatedConn) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (undatedConn) SetWriteDeadline(time.Time) error { return errNoDeadlines }

func undated(nc net.Conn) net.Conn { return undatedConn{nc} }

// Every timeout holds on a network without deadlines, to the instant. An operation that
// can't be interrupted there ends the connection instead.
func TestBoundsOfANetworkWithoutDeadlines(t *testing.T) {
	large := make([]byte, 4*wstest.PipeBuffer)
	begun := []wstest.Frame{testws.Part(websocket.BinaryMessage, false, "a")}
	within := func(t *testing.T, d time.Duration) context.Context {
		ctx, cancel := context.WithTimeoutCause(t.Context(), d, testws.ErrDatabase)
		t.Cleanup(cancel)
		return ctx
	}
	for _, tt := range []struct {
		name    string
		options websocket.Options
		serve   func(t *testing.T, conn *websocket.Conn) error
		after   time.Duration
		sends   []wstest.Frame // by the client, which reads nothing
		cause   error          // of the ending
		code    int            // 0: 1006
	}{
		{name: "the context of a read", after: time.Second, cause: testws.ErrDatabase, serve: func(t *testing.T, conn *websocket.Conn) error {
			_, _, err := conn.ReadMessageContext(within(t, time.Second))
			require.ErrorIs(t, err, testws.ErrDatabase)
			assert.False(t, websocket.IsDisconnect(err))
			require.ErrorIs(t, context.Cause(conn.Context()), testws.ErrDatabase)
			_, _, again := conn.ReadMessage()
			assert.ErrorIs(t, again, testws.ErrDatabase)
			assert.ErrorIs(t, conn.WriteMessage(websocket.TextMessage, nil), testws.ErrDatabase, "it could not be interrupted, so nothing is left")
			return err
		}},
		{name: "the context of a reader within a message", sends: begun, after: time.Second, cause: testws.ErrDatabase, serve: func(t *testing.T, conn *websocket.Conn) error {
			_, r, err := conn.NextReaderContext(within(t, time.Second))
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, r)
			require.ErrorIs(t, err, testws.ErrDatabase)
			return err
		}},
		{name: "a goroutine that fails", after: time.Second, cause: testws.ErrDatabase, serve: func(t *testing.T, conn *websocket.Conn) error {
			conn.Go(func(context.Context) error {
				time.Sleep(time.Second)
				return testws.ErrDatabase
			})
			_, _, err := conn.ReadMessage()
			require.ErrorIs(t, err, testws.ErrDatabase)
			return nil
		}},
		{name: "a goroutine that panics", after: time.Second, serve: func(t *testing.T, conn *websocket.Conn) error {
			conn.Go(func(context.Context) error {
				time.Sleep(time.Second)
				panic("oh")
			})
			_, _, err := conn.ReadMessage()
			var p *websocket.PanicError
			require.ErrorAs(t, err, &p)
			return nil
		}},
		{name: "the context of a write", after: time.Second, cause: testws.ErrDatabase, serve: func(t *testing.T, conn *websocket.Conn) error {
			err := conn.WriteMessageContext(within(t, time.Second), websocket.BinaryMessage, large)
			require.ErrorIs(t, err, testws.ErrDatabase)
			assert.False(t, websocket.IsDisconnect(err))
			return err
		}},
		{name: "the write timeout", after: 10 * time.Second, cause: os.ErrDeadlineExceeded, serve: func(t *testing.T, conn *websocket.Conn) error {
			err := conn.WriteMessage(websocket.BinaryMessage, large)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.True(t, websocket.IsDisconnect(err))
			return err
		}},
		{name: "the write timeout of a streamed message", after: 10 * time.Second, cause: os.ErrDeadlineExceeded, serve: func(t *testing.T, conn *websocket.Conn) error {
			w, err := conn.NextWriter(websocket.BinaryMessage)
			require.NoError(t, err)
			_, err = w.Write(large)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.True(t, websocket.IsDisconnect(err))
			return errors.Join(err, w.Close())
		}},
		{name: "a write deadline", after: time.Second, cause: os.ErrDeadlineExceeded, serve: func(t *testing.T, conn *websocket.Conn) error {
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
			err := conn.WriteMessage(websocket.BinaryMessage, large)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.False(t, websocket.IsDisconnect(err))
			return err
		}},
		{name: "what is enqueued", after: 10 * time.Second, cause: os.ErrDeadlineExceeded, serve: func(t *testing.T, conn *websocket.Conn) error {
			require.NoError(t, conn.Enqueue(websocket.QueueLimit{Bytes: -1}, testws.EncodeSize(t, len(large))))
			conn.Flush()
			<-conn.Context().Done()
			return context.Cause(conn.Context())
		}},
		{name: "a peer that does not answer", after: 40 * time.Second, cause: websocket.ErrPeerGone,
			options: websocket.Options{PingInterval: 30 * time.Second, PongTimeout: 10 * time.Second},
			serve: func(t *testing.T, conn *websocket.Conn) error {
				_, _, err := conn.ReadMessage()
				require.ErrorIs(t, err, websocket.ErrPeerGone)
				return err
			}},
		{name: "the closing handshake", after: 5 * time.Second, code: 4000,
			options: websocket.Options{CloseTimeout: 5 * time.Second},
			serve:   func(_ *testing.T, conn *websocket.Conn) error { return conn.Close(4000, "") }},
		{name: "the closing handshake behind a write", after: 2 * time.Second,
			options: websocket.Options{CloseTimeout: 2 * time.Second},
			serve: func(t *testing.T, conn *websocket.Conn) error {
				conn.Go(func(context.Context) error { return conn.WriteMessage(websocket.BinaryMessage, large) })
				synctest.Wait()
				require.Error(t, conn.Close(4000, ""))
				return nil
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ending websocket.Ending
				ended := make(chan struct{})
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error { return tt.serve(t, conn) }))
				u.Options = tt.options
				u.Logger = testws.Silent
				u.Observer = &websocket.Observer{Ended: func(_ *websocket.Conn, how websocket.Ending) {
					ending = how
					close(ended)
				}}
				start := time.Now()
				client := wstest.DialRaw(t, throughConn(u, undated), "/", &wstest.Options{Timeout: -1})
				client.Send(tt.sends...)
				<-ended
				assert.Equal(t, tt.after, time.Since(start))
				if tt.cause != nil {
					assert.ErrorIs(t, ending.Cause, tt.cause)
				}
				assert.Equal(t, cmp.Or(tt.code, 1006), ending.Code)
			})
		})
	}
}

// A context that ends after its read or write has returned does no harm: there is nothing
// to interrupt.
func TestContextsThatEndLaterOnANetworkWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			echo := func() error {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				messageType, message, err := conn.ReadMessageContext(ctx)
				if err != nil {
					return err
				}
				return conn.WriteMessageContext(ctx, messageType, message)
			}
			for {
				if err := echo(); err != nil {
					return err
				}
			}
		}))
		client := wstest.Dial(t, throughConn(u, undated), "/", nil)
		for range 100 {
			client.WriteText("still here")
			client.ExpectText("still here")
		}
		client.Close(websocket.CloseNormalClosure, "")
	})
}

// A peer that reads slowly receives a message of any length there, too: each piece that it
// takes restarts the timeout.
func TestSlowReaderOfANetworkWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var taken time.Duration
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 20*wstest.PipeBuffer))
			taken = time.Since(start)
			return err
		}))
		var o testws.Observed
		u.Observer = o.Observer()
		client := wstest.DialRaw(t, throughConn(u, undated), "/", &wstest.Options{Timeout: -1})
		for p, err := make([]byte, wstest.PipeBuffer/4), error(nil); err == nil; _, err = client.Conn.Read(p) {
			time.Sleep(time.Second)
		}
		testws.AwaitEnd(t, u)
		assert.Greater(t, taken, time.Minute)
		assert.Equal(t, websocket.CloseNormalClosure, o.Only(t).Code)
	})
}

// A Serve that waits for a message can't be interrupted there. It continues until its
// client is sent the close frame of the shutdown, with code 1001, and may answer messages
// until then.
func TestShutdownOnANetworkWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := make(chan error, 1)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			_, _, err := conn.ReadMessage()
			assert.ErrorIs(t, context.Cause(r.Context()), websocket.ErrShutdown)
			served <- err
			return err
		}))
		client := wstest.Dial(t, throughConn(u, undated), "/", nil)
		synctest.Wait()
		start := time.Now()
		down := make(chan error, 1)
		go func() { down <- u.Shutdown(t.Context()) }()
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.NoError(t, <-down)
		require.Error(t, <-served)
	})
}

// SetReadDeadline returns an error that says that there are no deadlines.
func TestReadDeadlineOfANetworkWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			assert.ErrorIs(t, conn.SetReadDeadline(time.Now().Add(time.Second)), errNoDeadlines)
			_, message, err := conn.ReadMessage()
			assert.Equal(t, "hello", string(message))
			return err
		}))
		client := wstest.Dial(t, throughConn(u, undated), "/", nil)
		client.WriteText("hello")
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	})
}

// A stuckConn is a connection whose writes wait until it is closed.
type stuckConn struct {
	net.Conn
	closed chan struct{}
}

func (c *stuckConn) Write([]byte) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *stuckConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

// HandshakeTimeout bounds the 101 there, and nothing after it.
func TestHandshakeTimeoutOfANetworkWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Settings.HandshakeTimeout = time.Second
		client := wstest.Dial(t, throughConn(u, undated), "/", nil)
		time.Sleep(time.Minute)
		client.WriteText("still here")
		client.ExpectText("still here")
	})
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Settings.HandshakeTimeout = time.Second
		u.Logger = testws.Silent
		server := wstest.Serve(t, throughConn(u, func(nc net.Conn) net.Conn {
			return undated(&stuckConn{Conn: nc, closed: make(chan struct{})})
		}))
		nc, err := server.DialContext(t.Context(), "tcp", "wstest:80")
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, testws.UpgradeRequest(nil).Write(nc))
		_, err = io.ReadAll(nc)
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(start))
	})
}
