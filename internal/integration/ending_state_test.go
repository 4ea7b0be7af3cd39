package integration_test

import (
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
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aMoment is less than any timeout of ours.
const aMoment = time.Millisecond

// errBrokenPipe is the error of a write after the peer hung up. Plan 9 has no number for
// it.
var errBrokenPipe = func() error {
	conn, peer := wstest.Pipe()
	_ = peer.Close()
	_, err := conn.Write([]byte{0})
	var call *os.SyscallError
	_ = errors.As(err, &call)
	return call.Err
}()

// From each event on, the first call and every later one return the same error; the context
// has the cause, and the connection the close code.
func TestWhatCallsReturnFromEachEventOn(t *testing.T) {
	bye := &websocket.CloseError{Code: 4002, Text: "bye"}
	chosen := &websocket.CloseError{Code: 4000, Text: "chosen"}
	hungUp := &websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()}
	large := make([]byte, 2*wstest.PipeBuffer)
	for _, tt := range []struct {
		name   string
		happen func(t *testing.T, conn *websocket.Conn, client *wstest.Raw, u *websocket.Upgrader)
		read   error
		write  error // nil: it succeeds
		cause  error
		code   int
	}{
		{name: "the peer's close frame", read: bye, write: websocket.ErrCloseSent, cause: bye, code: 4002,
			happen: func(_ *testing.T, _ *websocket.Conn, client *wstest.Raw, _ *websocket.Upgrader) {
				client.Send(wstest.Close(4002, "bye"))
			}},
		{name: "a protocol violation", read: &wire.ProtocolError{}, write: websocket.ErrCloseSent, cause: &wire.ProtocolError{}, code: 1002,
			happen: func(_ *testing.T, _ *websocket.Conn, client *wstest.Raw, _ *websocket.Upgrader) {
				client.Send(testws.Part(3, true, ""))
			}},
		{name: "the end of the stream, read first", read: hungUp, write: errBrokenPipe, cause: hungUp, code: 1006,
			happen: func(t *testing.T, conn *websocket.Conn, client *wstest.Raw, _ *websocket.Upgrader) {
				require.NoError(t, client.Close())
				_, _, err := conn.ReadMessage()
				require.Error(t, err)
			}},
		{name: "a hang-up, written first", read: hungUp, write: errBrokenPipe, cause: errBrokenPipe, code: 1006,
			happen: func(t *testing.T, conn *websocket.Conn, client *wstest.Raw, _ *websocket.Upgrader) {
				require.NoError(t, client.Close())
				require.Error(t, conn.WriteMessage(websocket.TextMessage, nil))
			}},
		{name: "a hang-up after a close frame", read: bye, write: errBrokenPipe, cause: errBrokenPipe, code: 4002,
			happen: func(t *testing.T, conn *websocket.Conn, client *wstest.Raw, _ *websocket.Upgrader) {
				client.Send(wstest.Close(4002, "bye"))
				require.NoError(t, client.Close())
				require.Error(t, conn.WriteMessage(websocket.TextMessage, nil))
			}},
		{name: "Close", read: net.ErrClosed, write: websocket.ErrCloseSent, cause: chosen, code: 4000,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				require.NoError(t, conn.Close(chosen.Code, chosen.Text))
			}},
		{name: "Close, and the peer's answer", read: bye, write: websocket.ErrCloseSent, cause: chosen, code: 4000,
			happen: func(t *testing.T, conn *websocket.Conn, client *wstest.Raw, _ *websocket.Upgrader) {
				client.Send(wstest.Close(4002, "bye"))
				require.NoError(t, conn.Close(chosen.Code, chosen.Text))
			}},
		{name: "a CloseMessage", read: net.ErrClosed, write: websocket.ErrCloseSent, cause: chosen, code: 4000,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				payload := websocket.FormatCloseMessage(chosen.Code, chosen.Text)
				require.NoError(t, conn.WriteControl(websocket.CloseMessage, payload, time.Time{}))
			}},
		{name: "CloseNow", read: net.ErrClosed, write: net.ErrClosed, cause: net.ErrClosed, code: 1006,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				require.NoError(t, conn.CloseNow())
			}},
		{name: "CloseNow on a closed connection", read: net.ErrClosed, write: websocket.ErrCloseSent, cause: chosen, code: 4000,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				require.NoError(t, conn.Close(chosen.Code, chosen.Text))
				require.NoError(t, conn.CloseNow())
			}},
		{name: "a deadline of the caller's within a write", read: os.ErrDeadlineExceeded, write: os.ErrDeadlineExceeded, cause: os.ErrDeadlineExceeded, code: 1006,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
				require.Error(t, conn.WriteMessage(websocket.BinaryMessage, large))
			}},
		{name: "a write that is not taken", read: os.ErrDeadlineExceeded, write: os.ErrDeadlineExceeded, cause: os.ErrDeadlineExceeded, code: 1006,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				require.Error(t, conn.WriteMessage(websocket.BinaryMessage, large))
			}},
		{name: "a peer that does not answer", read: websocket.ErrPeerGone, write: websocket.ErrPeerGone, cause: websocket.ErrPeerGone, code: 1006,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				_, _, err := conn.ReadMessage()
				require.Error(t, err)
			}},
		{name: "a read whose context ended", read: testws.ErrDatabase, cause: testws.ErrDatabase, code: 1000,
			happen: func(t *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, testws.ErrDatabase)
				defer cancel()
				_, _, err := conn.ReadMessageContext(ctx)
				require.Error(t, err)
			}},
		{name: "a goroutine that fails", read: testws.ErrDatabase, cause: testws.ErrDatabase, code: 1011,
			happen: func(_ *testing.T, conn *websocket.Conn, _ *wstest.Raw, _ *websocket.Upgrader) {
				conn.Go(func(context.Context) error { return testws.ErrDatabase })
			}},
		{name: "Shutdown", read: websocket.ErrShutdown, cause: websocket.ErrShutdown, code: 1001,
			happen: func(_ *testing.T, _ *websocket.Conn, _ *wstest.Raw, u *websocket.Upgrader) {
				go func() { _ = u.Shutdown(context.Background()) }()
				time.Sleep(aMoment)
			}},
		{name: "Shutdown after a close frame", read: bye, write: websocket.ErrCloseSent, cause: bye, code: 4002,
			happen: func(t *testing.T, conn *websocket.Conn, client *wstest.Raw, u *websocket.Upgrader) {
				client.Send(wstest.Close(4002, "bye"))
				_, _, err := conn.ReadMessage()
				require.Error(t, err)
				go func() { _ = u.Shutdown(context.Background()) }()
				time.Sleep(aMoment)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o testws.Observed
				conns, done := make(chan *websocket.Conn), make(chan struct{})
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					conns <- conn
					<-done
					return nil
				}))
				u.Logger, u.Observer = testws.Silent, o.Observer()
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
				conn := <-conns
				tt.happen(t, conn, client, u)
				synctest.Wait()

				_, _, read := conn.ReadMessage()
				requireError(t, tt.read, read)
				write := conn.WriteMessage(websocket.TextMessage, nil)
				if tt.write == nil {
					require.NoError(t, write)
				} else {
					requireError(t, tt.write, write)
				}
				requireError(t, tt.cause, context.Cause(conn.Context()))
				for range 2 {
					_, _, again := conn.ReadMessage()
					assert.Equal(t, read, again)
					assert.Equal(t, write, conn.WriteMessage(websocket.TextMessage, nil))
				}
				requireError(t, tt.cause, context.Cause(conn.Context()))
				close(done)
				require.Eventually(t, func() bool { return u.Stats().Open == 0 }, time.Minute, aMoment)
				assert.Equal(t, tt.code, o.Only(t).Code)
			})
		})
	}
}

// requireError requires err to be the wanted error: an unwrapped *CloseError, or any
// protocol violation.
func requireError(t *testing.T, want, err error) {
	t.Helper()
	switch want := want.(type) { //nolint:errorlint // the wanted ones are bare
	case *wire.ProtocolError:
		require.ErrorAs(t, err, &want)
	case *websocket.CloseError:
		require.Equal(t, want, err)
	default:
		require.ErrorIs(t, err, want)
	}
}

// A close handler runs once, even if it panics and the application recovers that and reads
// on.
func TestCloseHandlerThatPanicsRunsOnce(t *testing.T) {
	for name, read := range map[string]func(conn *websocket.Conn) error{
		"ReadMessage": func(conn *websocket.Conn) error {
			_, _, err := conn.ReadMessage()
			return err
		},
		"NextReader": func(conn *websocket.Conn) error {
			_, _, err := conn.NextReader()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o testws.Observed
				calls := 0
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					conn.SetCloseHandler(func(int, string) error {
						calls++
						panic("oh")
					})
					assert.Panics(t, func() { _ = read(conn) })
					for range 2 {
						assert.Equal(t, &websocket.CloseError{Code: 4002, Text: "bye"}, read(conn))
					}
					return nil
				}))
				u.Logger, u.Observer = testws.Silent, o.Observer()
				client := wstest.DialRaw(t, u, "/", nil)
				client.Send(wstest.Close(4002, "bye"))
				testws.AwaitEnd(t, u)
				assert.Equal(t, 1, calls)
				assert.Equal(t, 4002, o.Only(t).Code)
			})
		})
	}
}
