package wstest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goyave-contrib/websocket/wstest"
)

func TestListenerConnectsDialAndAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wstest.Listen()
		go func() {
			time.Sleep(time.Second)
			conn, err := l.Accept()
			if assert.NoError(t, err) {
				assert.Equal(t, l.Addr(), conn.LocalAddr())
				_, _ = io.WriteString(conn, "hello")
				_ = conn.Close()
			}
		}()
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		conn, err := l.DialContext(ctx)
		cancel() // it must not affect the connection
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(start), "a dial waits for Accept")
		require.Equal(t, l.Addr(), conn.RemoteAddr())
		require.NoError(t, l.Close(), "nor has the listener")
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
}

func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wstest.Listen()
		require.NoError(t, l.Close())
		require.ErrorIs(t, l.Close(), net.ErrClosed, "a second Close")
		_, err := l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = l.DialContext(t.Context())
		require.ErrorIs(t, err, errRefused)
	})
}

func TestListenerCloseReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accepting, dialed := wstest.Listen(), wstest.Listen()
		errs := make(chan error, 1)

		go func() {
			_, err := accepting.Accept()
			errs <- err
		}()
		synctest.Wait()
		require.Empty(t, errs)
		require.NoError(t, accepting.Close())
		require.ErrorIs(t, <-errs, net.ErrClosed)

		go func() {
			_, err := dialed.DialContext(t.Context())
			errs <- err
		}()
		synctest.Wait()
		require.Empty(t, errs)
		require.NoError(t, dialed.Close())
		require.ErrorIs(t, <-errs, errRefused)
	})
}

func TestListenerDialEndsWithItsContext(t *testing.T) {
	errCause := errors.New("the test is over")
	synctest.Test(t, func(t *testing.T) {
		l := wstest.Listen()
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errCause)
		defer cancel()
		for range 2 { // during the wait, and before it
			_, err := l.DialContext(ctx)
			require.ErrorIs(t, err, errCause)
			require.Equal(t, 5*time.Second, time.Since(start))
		}

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.DialContext(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var netErr net.Error
		require.ErrorAs(t, err, &netErr)
		require.True(t, netErr.Timeout())
	})
}

func TestListenerServesHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wstest.Listen()
		server := &http.Server{
			ReadHeaderTimeout: 10 * time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				host, _, err := net.SplitHostPort(r.RemoteAddr)
				assert.NoError(t, err)
				w.Header().Set("X-Host", host)
				time.Sleep(time.Second)
				_, _ = io.Copy(w, r.Body)
			}),
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return l.DialContext(ctx)
		}}
		client := &http.Client{Transport: transport}

		body := strings.Repeat("0123456789", wstest.PipeBuffer) // more than the buffers of both directions
		start := time.Now()
		for range 3 {
			res, err := client.Post("http://mem.test/", "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			require.Equal(t, "127.0.0.1", res.Header.Get("X-Host"))
			n, err := io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.EqualValues(t, len(body), n)
		}
		require.Equal(t, 3*time.Second, time.Since(start))

		// The server closes the connection of a client that sends no request in time.
		silent, err := l.DialContext(t.Context())
		require.NoError(t, err)
		start = time.Now()
		_, err = io.ReadAll(silent)
		require.NoError(t, err)
		require.Equal(t, 10*time.Second, time.Since(start))
		require.NoError(t, silent.Close())

		transport.CloseIdleConnections()
		require.NoError(t, server.Shutdown(t.Context()))
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		_, err = l.DialContext(t.Context())
		require.ErrorIs(t, err, errRefused)
	})
}
