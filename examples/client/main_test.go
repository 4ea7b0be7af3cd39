package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server serves in memory. Each connection is served by the next function, and the last one
// serves all that follow.
type server struct {
	*wstest.Listener
	upgrader *websocket.Upgrader

	mu    sync.Mutex
	serve []func(*websocket.Conn) error
	came  []time.Time
	ended []int // close codes
}

func (s *server) Serve(conn *websocket.Conn, _ *http.Request) error {
	s.mu.Lock()
	s.came = append(s.came, time.Now())
	serve := s.serve[0]
	if len(s.serve) > 1 {
		s.serve = s.serve[1:]
	}
	s.mu.Unlock()
	return serve(conn)
}

func (s *server) connections() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came
}

// start serves until stop is called.
func start(t *testing.T, serve ...func(*websocket.Conn) error) *server {
	t.Helper()
	s := &server{Listener: wstest.Listen(), serve: serve}
	s.upgrader = websocket.New(s)
	s.upgrader.Observer = &websocket.Observer{Ended: func(_ *websocket.Conn, ending websocket.Ending) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, ending.Code)
	}}
	web := &http.Server{Handler: s.upgrader, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- web.Serve(s) }()
	t.Cleanup(func() {
		assert.NoError(t, s.upgrader.Shutdown(context.Background()))
		assert.NoError(t, web.Shutdown(context.Background()))
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return s
}

// client is one of the server, which keeps what it receives.
func (s *server) client(t *testing.T) (c *client, received func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	c = &client{
		url:  "ws://server.test/",
		send: make(chan string),
		receive: func(message string) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, message)
		},
		report: t.Logf,
	}
	c.options.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.DialContext(ctx) }
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func echo(conn *websocket.Conn) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

// closes ends each connection at once.
func closes(code int, after time.Duration) func(*websocket.Conn) error {
	return func(*websocket.Conn) error {
		time.Sleep(after)
		return websocket.NewCloseError(code, "")
	}
}

func TestLostConnectionIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(conn *websocket.Conn) error {
			_, _, err := conn.ReadMessage()
			return errors.Join(err, conn.CloseNow()) // without a word
		}, echo)
		c, received := s.client(t)
		c.hello = "it's me"
		lines := make(chan string)
		c.send = lines
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.run(ctx) }()

		time.Sleep(time.Second)
		require.Len(t, s.connections(), 2)
		lines <- "hello"
		synctest.Wait()
		assert.Equal(t, []string{"it's me", "hello"}, received())

		cancel()
		require.NoError(t, <-ended)
		synctest.Wait()
		assert.Equal(t, []int{websocket.CloseAbnormalClosure, websocket.CloseNormalClosure}, s.ended)
	})
}

func TestWaitsGrowToThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, closes(websocket.CloseTryAgainLater, 0))
		c, _ := s.client(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		require.NoError(t, c.run(ctx))
		came := s.connections()
		require.Greater(t, len(came), 10)
		for i := range came[1:] {
			ceiling := min(firstWait<<min(i, 10), longest)
			wait := came[i+1].Sub(came[i])
			assert.GreaterOrEqual(t, wait, ceiling/2, "wait %d", i)
			assert.Less(t, wait, ceiling, "wait %d", i)
		}
	})
}

// A connection that has worked for a while is no failure.
func TestWaitIsShortAfterAConnectionThatWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := closes(websocket.CloseServiceRestart, 0)
		s := start(t, again, again, again, again, closes(websocket.CloseServiceRestart, time.Minute), echo)
		c, _ := s.client(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		require.NoError(t, c.run(ctx))
		came := s.connections()
		require.Len(t, came, 6)
		assert.Less(t, came[5].Sub(came[4])-time.Minute, firstWait)
	})
}

// Waiting for an answer to the handshake is no connection that has worked.
func TestWaitsGrowWhereNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialed := make(chan time.Time, 100)
		c := &client{url: "ws://server.test/", report: t.Logf}
		c.options.HandshakeTimeout = time.Minute
		c.options.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialed <- time.Now()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		require.NoError(t, c.run(ctx))
		require.Greater(t, len(dialed), 6)
		for range 5 {
			<-dialed
		}
		sixth := <-dialed
		assert.GreaterOrEqual(t, (<-dialed).Sub(sixth)-time.Minute, firstWait<<5/2)
	})
}

func TestWaitsDiffer(t *testing.T) {
	waits := make(map[time.Duration]bool)
	for range 100 {
		waits[backoff(3)] = true
	}
	assert.Greater(t, len(waits), 90)
}

// A client that waits to come back, or for a server that does not answer, ends at once.
func TestEndWithoutConnection(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
	}{
		{name: "it waits", dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }},
		{name: "it dials", dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &client{url: "ws://server.test/", report: t.Logf}
				c.options.DialContext = tt.dial
				ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second+time.Millisecond)
				defer cancel()
				start := time.Now()
				require.NoError(t, c.run(ctx))
				assert.Equal(t, 9*time.Second+time.Millisecond, time.Since(start))
			})
		})
	}
}

// A server that does not answer the goodbye is not waited for forever.
func TestEndWithSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := wstest.Listen()
		accepted := make(chan net.Conn, 1)
		web := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
					"Sec-WebSocket-Accept: "+acceptKey(r.Header.Get("Sec-Websocket-Key"))+"\r\n\r\n")
				assert.NoError(t, err)
				accepted <- conn
			}
		})}
		served := make(chan error, 1)
		go func() { served <- web.Serve(listener) }()
		c := &client{url: "ws://server.test/", report: t.Logf, receive: func(string) {}}
		c.options.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.NoError(t, c.run(ctx))
		assert.Equal(t, 11*time.Second, time.Since(start))
		require.NoError(t, (<-accepted).Close())
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

func TestFinal(t *testing.T) {
	for _, err := range []error{
		&refusal{http.StatusForbidden}, &refusal{http.StatusNotFound}, &refusal{http.StatusFound},
		websocket.NewCloseError(websocket.CloseNormalClosure, ""), websocket.NewCloseError(websocket.ClosePolicyViolation, ""),
		websocket.NewCloseError(4401, ""), fmt.Errorf("wrapped: %w", &refusal{http.StatusUnauthorized}),
	} {
		assert.True(t, isFinal(err), "%v", err)
	}
	for _, err := range []error{
		&refusal{http.StatusServiceUnavailable}, &refusal{http.StatusBadGateway}, &refusal{http.StatusTooManyRequests},
		websocket.NewCloseError(websocket.CloseGoingAway, ""), websocket.NewCloseError(websocket.CloseTryAgainLater, ""),
		websocket.NewCloseError(websocket.CloseAbnormalClosure, ""), websocket.NewCloseError(websocket.CloseInternalServerErr, ""),
		websocket.ErrPeerGone, io.EOF, context.DeadlineExceeded,
	} {
		assert.False(t, isFinal(err), "%v", err)
	}
}

// As its users run it: the server goes away and comes back at the same address.
func TestProcess(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	first := serveOn(t, listener)
	program := testws.StartProgram(t, "-hello", "it's me", "-origin", "http://"+address, "ws://"+address+"/")
	program.ExpectText("it's me")
	_, err = io.WriteString(program.Stdin, "how are you?\n")
	require.NoError(t, err)
	program.ExpectText("how are you?")

	first()
	program.ExpectText("connecting again")
	_, err = io.WriteString(program.Stdin, "still there?\n") // waits
	require.NoError(t, err)
	listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	serveOn(t, listener)
	program.ExpectText("it's me")
	program.ExpectText("still there?")
	program.Interrupt()
	program.ExpectExit(0)
}

func TestProcessThatIsRefused(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveOn(t, listener)
	binary := testws.BuildProgram(t)
	program := testws.StartCommand(t, exec.Command(binary, "-origin", "http://evil.test", "ws://"+listener.Addr().String()+"/"))
	program.ExpectText("the server refused the connection: 403 Forbidden")
	program.ExpectExit(1)

	for _, arguments := range [][]string{{}, {"one", "two"}, {"localhost:8080"}, {"ftp://localhost"}} {
		program = testws.StartCommand(t, exec.Command(binary, arguments...))
		program.ExpectText("usage: client")
		program.ExpectExit(2)
	}
}

// serveOn echoes until stop is called or the test ends.
func serveOn(t *testing.T, listener net.Listener) (stop func()) {
	t.Helper()
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error { return echo(conn) }))
	web := &http.Server{Handler: upgrader, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, upgrader.Shutdown(ctx))
		assert.NoError(t, web.Shutdown(ctx))
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	t.Cleanup(stop)
	return stop
}

// acceptKey answers a key (RFC 6455, 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(strings.TrimSpace(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
