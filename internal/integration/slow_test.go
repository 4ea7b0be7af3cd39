package integration_test

import (
	"context"
	"errors"
	"io"
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

// pieceSize is the size in bytes of the pieces in which a frame is written.
const pieceSize = 128 << 10

// read reads n bytes from the server.
func read(t *testing.T, client *wstest.Raw, n int) {
	t.Helper()
	_, err := io.CopyN(io.Discard, client, int64(n))
	require.NoError(t, err)
}

// A peer that reads steadily, however slowly, is not disconnected, whatever the size of the
// frame. A peer that stops is, WriteTimeout later.
func TestWriteTimeoutIsWithoutProgress(t *testing.T) {
	prepared, err := websocket.NewPreparedMessage(websocket.BinaryMessage, make([]byte, 8*pieceSize))
	require.NoError(t, err)
	for name, write := range map[string]func(conn *websocket.Conn) error{
		"WriteMessage": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.BinaryMessage, make([]byte, 8*pieceSize))
		},
		"WriteMessageContext": func(conn *websocket.Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			return conn.WriteMessageContext(ctx, websocket.BinaryMessage, make([]byte, 8*pieceSize))
		},
		"NextWriter": func(conn *websocket.Conn) error {
			w, err := conn.NextWriter(websocket.BinaryMessage)
			if err != nil {
				return err
			}
			_, err = w.Write(make([]byte, 8*pieceSize))
			return errors.Join(err, w.Close())
		},
		"WritePreparedMessage": func(conn *websocket.Conn) error { return conn.WritePreparedMessage(prepared) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
				start := time.Now()
				written := make(chan error, 1)
				go func() { written <- write(conn) }()
				for range 8 {
					time.Sleep(9 * time.Second)
					read(t, client, pieceSize)
				}
				read(t, client, 10) // the header
				require.NoError(t, <-written)
				testws.AssertElapsed(t, start, 72*time.Second)
			})
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
				start := time.Now()
				written := make(chan error, 1)
				go func() { written <- write(conn) }()
				time.Sleep(7 * time.Second)
				read(t, client, pieceSize) // so that the first piece is taken
				synctest.Wait()
				read(t, client, wstest.PipeBuffer/2) // and only a part of the next one
				err := <-written
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assert.True(t, websocket.IsDisconnect(err))
				testws.AssertElapsed(t, start, 17*time.Second)
			})
		})
	}
}

// Progress does not extend the caller's deadline or context.
func TestCallersDeadlinesAreNotRenewed(t *testing.T) {
	write := func(ctx context.Context, conn *websocket.Conn) <-chan error {
		written := make(chan error, 1)
		go func() { written <- conn.WriteMessageContext(ctx, websocket.BinaryMessage, make([]byte, 8*pieceSize)) }()
		return written
	}
	for name, begin := range map[string]func(t *testing.T, conn *websocket.Conn) <-chan error{
		"a write deadline": func(t *testing.T, conn *websocket.Conn) <-chan error {
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(12*time.Second)))
			return write(context.Background(), conn)
		},
		"a context": func(t *testing.T, conn *websocket.Conn) <-chan error {
			ctx, cancel := context.WithTimeoutCause(context.Background(), 12*time.Second, os.ErrDeadlineExceeded)
			t.Cleanup(cancel)
			return write(ctx, conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
				start := time.Now()
				written := begin(t, conn)
				time.Sleep(8 * time.Second)
				read(t, client, 2*pieceSize)
				err := <-written
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assert.False(t, websocket.IsDisconnect(err))
				testws.AssertElapsed(t, start, 12*time.Second)
			})
		})
	}
}

// stuffed returns a connection whose network takes nothing more: a ping waits to be
// written.
func stuffed(t *testing.T, options websocket.Options) (*wstest.Raw, *websocket.Conn, <-chan error) {
	t.Helper()
	options.PingInterval = -1
	client, conn := testws.RawPair(t, options)
	const header = 4                               // bytes, of a frame of this length
	for left := wstest.PipeBuffer - 1; left > 0; { // all but one byte
		n := min(left, 1+wstest.PipeBuffer/2)
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, make([]byte, n-header)))
		left -= n
	}
	pinged := make(chan error, 1)
	go func() { pinged <- conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Hour)) }()
	synctest.Wait()
	return client, conn, pinged
}

// All waiting of one call has one bound: for other messages, for the frame that is being
// written and, if gorilla writes, for the next frame.
func TestWaitingOfACallHasOneBound(t *testing.T) {
	prepared, err := websocket.NewPreparedMessage(websocket.BinaryMessage, []byte("x"))
	require.NoError(t, err)
	for name, write := range map[string]func(conn *websocket.Conn) error{
		"WriteMessage":         func(conn *websocket.Conn) error { return conn.WriteMessage(websocket.TextMessage, nil) },
		"WritePreparedMessage": func(conn *websocket.Conn) error { return conn.WritePreparedMessage(prepared) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn, pinged := stuffed(t, websocket.Options{WriteTimeout: 10 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
				defer cancel()
				first := make(chan error, 1)
				go func() { first <- conn.WriteMessageContext(ctx, websocket.TextMessage, nil) }()
				synctest.Wait()
				start := time.Now()
				require.ErrorIs(t, write(conn), os.ErrDeadlineExceeded)
				testws.AssertElapsed(t, start, 10*time.Second)
				require.ErrorIs(t, <-first, context.DeadlineExceeded)
				go func() { _, _ = io.Copy(io.Discard, client) }()
				require.NoError(t, <-pinged)
				require.NoError(t, write(conn), "nothing has happened")
				_ = conn.CloseNow()
			})
		})
	}
}

// A call waits as long as the writes before it make progress.
func TestWaitingForASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
		start := time.Now()
		written := make(chan error, 3)
		for range cap(written) { // one behind the other
			go func() { written <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*pieceSize)) }()
			synctest.Wait()
		}
		pinged := make(chan error, 1)
		go func() { pinged <- conn.WriteControl(websocket.PingMessage, nil, time.Time{}) }()
		for range 6 {
			time.Sleep(9 * time.Second)
			read(t, client, pieceSize)
		}
		read(t, client, 32) // headers, and the ping
		for range cap(written) {
			require.NoError(t, <-written)
		}
		require.NoError(t, <-pinged)
		testws.AssertElapsed(t, start, 54*time.Second)
	})
	t.Run("ends without progress", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Hour)))
			write := make(chan error, 1)
			go func() { write <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, 4*pieceSize)) }()
			synctest.Wait()
			require.NoError(t, conn.SetWriteDeadline(time.Time{}))
			start := time.Now()
			waits := make(chan error, 1)
			go func() { waits <- conn.WriteMessage(websocket.TextMessage, nil) }()
			time.Sleep(7 * time.Second)
			read(t, client, pieceSize)
			require.ErrorIs(t, <-waits, os.ErrDeadlineExceeded)
			testws.AssertElapsed(t, start, 17*time.Second)
			read(t, client, 3*pieceSize+10)
			require.NoError(t, <-write)
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, nil), "nothing has happened")
		})
	})
	t.Run("short messages, one behind the other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
			const size = wstest.PipeBuffer
			written := make(chan error, 8)
			for range cap(written) {
				go func() { written <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, size-4)) }()
				synctest.Wait()
			}
			for range cap(written) {
				time.Sleep(6 * time.Second)
				read(t, client, size)
			}
			for range cap(written) {
				require.NoError(t, <-written)
			}
		})
	})
}

// A message that is written in parts may never end: its progress does not extend the wait
// of other calls.
func TestWaitingForAStreamedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 10 * time.Second, PingInterval: -1})
		go func() { _, _ = io.Copy(io.Discard, client) }()
		w, err := conn.NextWriter(websocket.BinaryMessage)
		require.NoError(t, err)
		start := time.Now()
		waits := make(chan error, 1)
		go func() { waits <- conn.WriteMessage(websocket.TextMessage, nil) }()
		for range 9 {
			time.Sleep(time.Second)
			_, err = w.Write(make([]byte, 2*pieceSize))
			require.NoError(t, err)
		}
		require.ErrorIs(t, <-waits, os.ErrDeadlineExceeded)
		testws.AssertElapsed(t, start, 10*time.Second)
		require.NoError(t, w.Close())
	})
}

// A reader that takes two megabytes a second, from a kernel that has buffered more than
// that, is not disconnected, over TCP and TLS: data that it has not read yet does not make
// it gone.
func TestSlowReaderOfAFullKernel(t *testing.T) {
	const rate, size = 2 << 20, 8 << 20
	for name, start := range map[string]func(http.Handler) *httptest.Server{
		"TCP": httptest.NewServer,
		"TLS": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written := make(chan error, 1)
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
				conn.Go(func(context.Context) error {
					err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, size))
					written <- err
					return err
				})
				return testws.ReadLoop(testws.Returned)(conn, r)
			}))
			u.Logger, u.WriteTimeout = testws.Silent, time.Second
			u.PingInterval, u.PongTimeout = 500*time.Millisecond, 500*time.Millisecond
			server := start(u)
			defer server.Close()
			client := wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: -1})
			begun := time.Now()
			p := make([]byte, rate/50)
			for got := 0; got+len(p) < size; got += len(p) {
				_, err := io.ReadFull(client, p)
				require.NoError(t, err, "after %d bytes and %v", got, time.Since(begun))
				time.Sleep(20 * time.Millisecond)
			}
			require.NoError(t, <-written)
			assert.Greater(t, time.Since(begun), 3*time.Second, "it is slow")
			_ = client.Close()
			testws.AwaitEnd(t, u)
		})
	}
}

// A peer that takes nothing any more is disconnected nevertheless, and reported as gone.
func TestReaderOfAFullKernelThatStops(t *testing.T) {
	for name, tc := range map[string]struct {
		options websocket.Options
		size    int
		want    error
	}{
		"for WriteTimeout":   {websocket.Options{WriteTimeout: time.Second, PingInterval: -1}, 32 << 20, os.ErrDeadlineExceeded},
		"for the keep-alive": {websocket.Options{PingInterval: 500 * time.Millisecond, PongTimeout: 500 * time.Millisecond}, 1 << 20, websocket.ErrPeerGone},
	} {
		for network, start := range map[string]func(http.Handler) *httptest.Server{
			"TCP": httptest.NewServer,
			"TLS": httptest.NewTLSServer,
		} {
			t.Run(name+", "+network, func(t *testing.T) {
				t.Parallel()
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
					if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, tc.size)); err != nil {
						return err
					}
					return testws.ReadLoop(testws.Returned)(conn, r)
				}}
				u := websocket.New(ctrl)
				u.Options = tc.options
				server := start(u)
				defer server.Close()
				client := wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: -1})
				begun := time.Now()
				_, err := io.ReadFull(client, make([]byte, 100_000))
				require.NoError(t, err)
				testws.AwaitEnd(t, u)
				assert.Greater(t, time.Since(begun), 900*time.Millisecond)
				require.Len(t, ctrl.Told.All(), 1)
				assert.ErrorIs(t, ctrl.Told.All()[0], tc.want)
			})
		}
	}
}
