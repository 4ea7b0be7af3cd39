package integration_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// A foreignConn reports a passed deadline with an error of its own, as yamux and gVisor do:
// a net.Error that is a timeout and does not say whose.
type foreignConn struct{ net.Conn }

type foreignTimeout struct{}

func (foreignTimeout) Error() string   { return "i/o deadline reached" }
func (foreignTimeout) Timeout() bool   { return true }
func (foreignTimeout) Temporary() bool { return false }

func foreign(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return foreignTimeout{}
	}
	return err
}

func (c foreignConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, foreign(err)
}

func (c foreignConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, foreign(err)
}

// A deadline of the library or of the caller does not mean that the peer vanished, whatever
// error the network returns: what is queued is still sent.
func TestForeignDeadlines(t *testing.T) {
	large := make([]byte, 4*wstest.PipeBuffer)
	for _, tt := range []struct {
		name  string
		serve func(t *testing.T, conn *websocket.Conn) error
		after time.Duration
		code  int
	}{
		{name: "the context of a read", after: time.Second, code: 4000, serve: func(t *testing.T, conn *websocket.Conn) error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, testws.ErrDatabase)
			defer cancel()
			_, _, err := conn.ReadMessageContext(ctx)
			require.ErrorIs(t, err, testws.ErrDatabase)
			assert.False(t, websocket.IsDisconnect(err))
			return websocket.NewCloseError(4000, "")
		}},
		{name: "a read deadline", after: time.Second, code: 4000, serve: func(t *testing.T, conn *websocket.Conn) error {
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			_, _, err := conn.ReadMessage()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.ErrorIs(t, err, foreignTimeout{})
			assert.False(t, websocket.IsDisconnect(err))
			return websocket.NewCloseError(4000, "")
		}},
		{name: "a goroutine that fails", code: 1011, serve: func(t *testing.T, conn *websocket.Conn) error {
			conn.Go(func(context.Context) error { return testws.ErrDatabase })
			_, _, err := conn.ReadMessage()
			require.ErrorIs(t, err, testws.ErrDatabase)
			return nil
		}},
		{name: "a write deadline", after: time.Second, code: 1006, serve: func(t *testing.T, conn *websocket.Conn) error {
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
			err := conn.WriteMessage(websocket.BinaryMessage, large)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.False(t, websocket.IsDisconnect(err))
			return nil
		}},
		{name: "the context of a write", after: time.Second, code: 1006, serve: func(t *testing.T, conn *websocket.Conn) error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, testws.ErrDatabase)
			defer cancel()
			err := conn.WriteMessageContext(ctx, websocket.BinaryMessage, large)
			require.ErrorIs(t, err, testws.ErrDatabase)
			assert.False(t, websocket.IsDisconnect(err))
			return nil
		}},
		{name: "the write timeout", after: 10 * time.Second, code: 1006, serve: func(t *testing.T, conn *websocket.Conn) error {
			err := conn.WriteMessage(websocket.BinaryMessage, large)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.True(t, websocket.IsDisconnect(err), "the peer takes nothing")
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o testws.Observed
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					begun := time.Now()
					err := tt.serve(t, conn)
					assert.Equal(t, tt.after, time.Since(begun))
					return err
				}))
				u.Logger, u.Observer, u.PingInterval = testws.Silent, o.Observer(), -1
				client := wstest.DialRaw(t, throughConn(u, func(nc net.Conn) net.Conn { return foreignConn{nc} }), "/", &wstest.Options{Timeout: -1})
				time.Sleep(tt.after)
				synctest.Wait()
				if tt.code != 1006 {
					client.Expect(wstest.Close(tt.code, map[int]string{1011: "Internal Server Error"}[tt.code]))
					client.Send(wstest.Close(tt.code, ""))
				}
				testws.AwaitEnd(t, u)
				assert.Equal(t, tt.code, o.Only(t).Code)
			})
		})
	}
}

// hiccups is a connection whose network times out by itself.
type hiccups struct{ net.Conn }

func (hiccups) Read([]byte) (int, error) { return 0, foreignTimeout{} }

// A timeout without a deadline means that the peer vanished.
func TestTimeoutOfTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o testws.Observed
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			_, _, err := conn.ReadMessage()
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.True(t, websocket.IsDisconnect(err))
			return nil
		}))
		u.Logger, u.Observer = testws.Silent, o.Observer()
		_ = wstest.DialRaw(t, throughConn(u, func(nc net.Conn) net.Conn { return hiccups{nc} }), "/", nil)
		testws.AwaitEnd(t, u)
		assert.Equal(t, 1006, o.Only(t).Code)
	})
}

// Dial sets no deadline to look at early data. TLS would remember a passed one as the end
// of the connection.
func TestDialOverForeignNetwork(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	certified.Close()
	_, secure := testws.Target(certified, "/")
	for _, scheme := range []string{"ws", "wss"} {
		for name, frames := range map[string][]wstest.Frame{"with a message right behind the 101": {wstest.Text("early").Unmasked()}, "": nil} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := wstest.Pipe()
					accepted := server
					if scheme == "wss" {
						accepted = tls.Server(server, &tls.Config{Certificates: certified.TLS.Certificates}) //nolint:gosec // Go's default version
					}
					listener := testws.OneConn{Conns: make(chan net.Conn, 1)}
					listener.Conns <- accepted
					httpServer := &http.Server{Handler: testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
						b := []byte(testws.Switching(r))
						for _, f := range frames {
							b = f.AppendTo(b)
						}
						_, _ = conn.Write(b)
						time.Sleep(time.Second)
						_, _ = conn.Write(wstest.Text("late").Unmasked().Bytes())
						_, _ = io.Copy(io.Discard, rw)
					})}
					go func() { _ = httpServer.Serve(listener) }()
					defer func() { _ = httpServer.Close() }()
					defer close(listener.Conns)

					options := secure
					options.DialContext = func(context.Context, string, string) (net.Conn, error) { return foreignConn{client}, nil }
					conn, response, err := websocket.Dial(t.Context(), scheme+"://example.com/", &options)
					require.NoError(t, err)
					assert.Equal(t, scheme == "wss", response.TLS != nil)
					for range frames {
						_, message, err := conn.ReadMessage()
						require.NoError(t, err)
						assert.Equal(t, "early", string(message))
					}
					_, message, err := conn.ReadMessage()
					require.NoError(t, err)
					assert.Equal(t, "late", string(message))

					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, _, err = conn.ReadMessageContext(ctx)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					assert.False(t, websocket.IsDisconnect(err))
					require.NoError(t, conn.CloseNow())
				})
			})
		}
	}
}

// sleepyConn has reads that return no bytes and no error, as a net.Conn may.
type sleepyConn struct {
	net.Conn
	empty int // times in a row; -1: for ever
	n     int
}

func (c *sleepyConn) Read(p []byte) (int, error) {
	if c.n++; c.empty < 0 || c.n <= c.empty {
		return 0, nil
	}
	c.n = 0
	return c.Conn.Read(p[:1])
}

// A read that returns no bytes and no error is not the end of the stream.
func TestEmptyReads(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var o testws.Observed
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger, u.Observer = testws.Silent, o.Observer()
		client := wstest.Dial(t, serve(throughConn(u, func(nc net.Conn) net.Conn { return &sleepyConn{Conn: nc, empty: 3} })), "/", nil)
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(4000, "")
		testws.AwaitEnd(t, u)
		assert.Equal(t, 4000, o.Only(t).Code)
	})
}

func TestEmptyReadsAreBounded(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		ctrl := &testws.Controller{ServeFunc: testws.Echo}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, serve(throughConn(u, func(nc net.Conn) net.Conn { return &sleepyConn{Conn: nc, empty: -1} })), "/", nil)
		client.ExpectEnd()
		testws.AwaitEnd(t, u)
		if told := ctrl.Told.All(); assert.Len(t, told, 1) {
			assert.ErrorIs(t, told[0], io.ErrNoProgress)
			assert.True(t, websocket.IsDisconnect(told[0]))
		}
	})
}
