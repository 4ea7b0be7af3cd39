package websocket_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSilentPeerIsGone(t *testing.T) {
	cases := []struct {
		name    string
		options websocket.Options
		pings   int
		want    time.Duration
	}{
		{name: "by default", pings: 1, want: 40 * time.Second},
		{name: "with times of its own", options: websocket.Options{PingInterval: time.Minute, PongTimeout: 10 * time.Second}, pings: 1, want: 70 * time.Second},
		{name: "with more time for the answer than between pings", options: websocket.Options{PingInterval: time.Second, PongTimeout: time.Minute}, pings: 60, want: 61 * time.Second},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctrl := &testws.Controller{ServeFunc: testws.ReadLoop(testws.Wrapped)}
				u := websocket.New(ctrl)
				u.Options = tc.options
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
				start := time.Now()
				for n := range tc.pings {
					client.Expect(testws.KeepAlivePing(uint64(n + 1)))
				}
				client.ExpectEnd()
				testws.AssertElapsed(t, start, tc.want)
				testws.AwaitEnd(t, u)
				if told := ctrl.Told.All(); assert.Len(t, told, 1) {
					assert.ErrorIs(t, told[0], websocket.ErrPeerGone)
					assert.True(t, websocket.IsDisconnect(told[0]))
				}
			})
		})
	}
}

func TestGonePeerIsTheCauseOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines testws.Logs
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			_, _, err := conn.ReadMessage()
			assert.ErrorIs(t, context.Cause(r.Context()), websocket.ErrPeerGone)
			assert.ErrorIs(t, conn.WriteMessage(websocket.TextMessage, nil), websocket.ErrPeerGone)
			_, _, again := conn.ReadMessage()
			assert.Equal(t, err, again)
			return err
		}))
		u.Logger = lines.Logger()
		_ = wstest.DialRaw(t, u, "/", nil)
		time.Sleep(40 * time.Second)
		testws.AwaitEnd(t, u)
		if all := lines.All(); assert.Len(t, all, 1) {
			assert.Equal(t, slog.LevelDebug, all[0].Level)
			assert.ErrorIs(t, all[0].Err, websocket.ErrPeerGone)
		}
	})
}

// Anything that a peer sends within PingInterval and PongTimeout is a sign of life.
func TestLivePeerStays(t *testing.T) {
	message := wstest.Text("x").Bytes()
	cases := []struct {
		name string
		send func(client *wstest.Raw, n int)
	}{
		{name: "that answers pings at the last moment", send: func(client *wstest.Raw, n int) {
			time.Sleep(10*time.Second - 1)
			client.Send(testws.KeepAlivePong(uint64(n)))
		}},
		{name: "that sends pongs of its own", send: func(client *wstest.Raw, _ int) { client.Send(wstest.Pong("")) }},
		{name: "that sends pings", send: func(client *wstest.Raw, _ int) {
			client.Send(wstest.Ping("me"))
			client.Expect(wstest.Pong("me"))
		}},
		{name: "that sends messages", send: func(client *wstest.Raw, _ int) { client.Send(wstest.Text("x")) }},
		{name: "that sends a message byte by byte", send: func(client *wstest.Raw, n int) {
			client.SendBytes([]byte{message[(n-1)%len(message)]})
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := websocket.New(websocket.ControllerFunc(testws.ReadLoop(testws.Wrapped)))
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
				start := time.Now()
				for n := 1; n <= 120; n++ { // an hour
					client.Expect(testws.KeepAlivePing(uint64(n)))
					testws.AssertElapsed(t, start, time.Duration(n)*30*time.Second)
					tc.send(client, n)
				}
				assert.Equal(t, 1, u.Stats().Open)
			})
		})
	}
}

// While the controller does not read, its peer does not count as gone.
func TestControllerThatDoesNotReadIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan time.Time, 1)
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
			time.Sleep(time.Hour + time.Second)
			read <- time.Now()
			_, _, err := conn.ReadMessage()
			return err
		}}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		for n := 1; n <= 121; n++ {
			client.Expect(testws.KeepAlivePing(uint64(n)))
			testws.AssertElapsed(t, start, time.Duration(n)*30*time.Second)
		}
		client.ExpectEnd()
		assert.Equal(t, 40*time.Second, time.Since(<-read), "what counts is when the read began")
		testws.AwaitEnd(t, u)
	})
}

func TestKeepAliveSwitchedOff(t *testing.T) {
	t.Run("no pings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.PingInterval = -1
			client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
			time.Sleep(24 * time.Hour)
			client.Send(wstest.Text("x"))
			client.Expect(wstest.Text("x"))
		})
	})
	t.Run("no answers expected", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.PongTimeout = -1
			client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
			for n := range uint64(120) {
				client.Expect(testws.KeepAlivePing(n + 1))
			}
			client.Send(wstest.Text("x"))
			client.Expect(wstest.Text("x"))
		})
	})
}

// Pings are sent between the frames of a slow message, and wait for a frame that is being written.
func TestPingsDuringAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			w, err := conn.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			for range 3 {
				time.Sleep(21 * time.Second)
				_, _ = w.Write(make([]byte, 5000)) // more than the buffer
			}
			return w.Close()
		}))
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		var kinds []byte
		for {
			frame, err := client.Receive()
			require.NoError(t, err)
			kinds = append(kinds, frame.Opcode)
			if frame.Opcode == wstest.OpClose {
				break
			}
		}
		const text, more, ping, end = wstest.OpText, wstest.OpContinuation, wstest.OpPing, wstest.OpClose
		assert.Equal(t, []byte{text, ping, more, ping, more, more, end}, kinds)
	})
}

// A peer that is gone is noticed even while a write hangs that nothing bounds.
func TestGonePeerOfAWriterThatHangs(t *testing.T) {
	for name, writeTimeout := range map[string]time.Duration{"for a while": time.Hour, "without a bound": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, conn := testws.RawPair(t, websocket.Options{WriteTimeout: writeTimeout})
				start := time.Now()
				written := testws.Fill(conn)
				_, _, err := conn.ReadMessage()
				require.ErrorIs(t, err, websocket.ErrPeerGone)
				testws.AssertElapsed(t, start, 40*time.Second)
				require.ErrorIs(t, <-written, websocket.ErrPeerGone)
			})
		})
	}
}

// A ping that the peer does not take within WriteTimeout ends the connection, like any frame.
func TestPingThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := testws.RawPair(t, websocket.Options{})
		start := time.Now()
		for range wstest.PipeBuffer / 64 { // to the last byte
			require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, make([]byte, 62)))
		}
		<-conn.Context().Done()
		testws.AssertElapsed(t, start, 40*time.Second)
		assert.True(t, websocket.IsDisconnect(context.Cause(conn.Context())))
	})
}

func TestKeepAliveEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conn weak.Pointer[websocket.Conn]
		var mu sync.Mutex
		u := websocket.New(websocket.ControllerFunc(func(c *websocket.Conn, _ *http.Request) error {
			mu.Lock()
			conn = weak.Make(c)
			mu.Unlock()
			return nil
		}))
		client := wstest.DialRaw(t, u, "/", nil)
		client.ExpectClose(1000, websocket.NormalClosureMessage)
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		testws.AwaitEnd(t, u)
		mu.Lock()
		defer mu.Unlock()
		held := true // by a timer that is set, or for a moment by a goroutine that is ending
		for range 1000 {
			time.Sleep(time.Millisecond)
			runtime.GC()
			if held = conn.Value() != nil; !held {
				break
			}
		}
		assert.False(t, held)
	})
}

// No goroutine waits for the next ping.
func TestKeepAliveHasNoGoroutine(t *testing.T) {
	goroutines := func(interval time.Duration) (n int) {
		synctest.Test(t, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.PingInterval = interval
			server := wstest.Serve(t, u)
			synctest.Wait()
			before := runtime.NumGoroutine()
			for range 50 {
				wstest.DialRaw(t, server, "/", nil)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			n = runtime.NumGoroutine() - before
		})
		return n
	}
	assert.InDelta(t, goroutines(-1), goroutines(time.Minute), 25, "not one each") // the runtime has some of its own
}

func TestPingReturnsTheRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{PingInterval: -1})
		pongs := 0
		conn.SetPongHandler(func(string) error { pongs++; return nil })
		go func() { _, _, _ = conn.ReadMessage() }()
		go func() {
			for n := range uint64(3) {
				client.Expect(testws.KeepAlivePing(n + 1))
				time.Sleep(time.Duration(n) * time.Second)
				client.Send(wstest.Pong("unsolicited"), testws.KeepAlivePong(1<<60), wstest.Pong("8 bytes!"), testws.KeepAlivePong(n+1))
			}
		}()
		for n := range 3 {
			roundTrip, err := conn.Ping(t.Context())
			require.NoError(t, err)
			assert.Equal(t, time.Duration(n)*time.Second, roundTrip)
		}
		synctest.Wait()
		assert.Equal(t, 3*4, pongs, "the caller's handler sees them all")
	})
}

// A pong also answers the pings before its own (RFC 6455, 5.5.3).
func TestPingsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{PingInterval: 5 * time.Second, PongTimeout: time.Minute})
		go func() { _, _, _ = conn.ReadMessage() }()
		var pinging sync.WaitGroup
		answered := func(want time.Duration) func() {
			return func() {
				roundTrip, err := conn.Ping(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, want, roundTrip)
			}
		}
		for range 10 {
			pinging.Go(answered(6 * time.Second))
		}
		synctest.Wait()
		time.Sleep(time.Second)
		for range 10 {
			pinging.Go(answered(5 * time.Second))
		}
		synctest.Wait()
		time.Sleep(time.Second)
		pinging.Go(answered(8 * time.Second))
		time.Sleep(4 * time.Second)
		for n := range uint64(22) { // the last ping is from the keep-alive
			client.Expect(testws.KeepAlivePing(n + 1))
		}
		client.Send(testws.KeepAlivePong(20))
		time.Sleep(4 * time.Second)
		client.Send(testws.KeepAlivePong(22))
		pinging.Wait()
	})
}

func TestPingWithoutAnAnswer(t *testing.T) {
	cause := errors.New("no more patience")
	cases := []struct {
		name string
		end  func(client *wstest.Raw, conn *websocket.Conn)
		want error
	}{
		{name: "until its context ends", want: cause},
		{name: "until the peer closes", want: &websocket.CloseError{Code: 1001, Text: "bye"}, end: func(client *wstest.Raw, _ *websocket.Conn) {
			client.Send(wstest.Close(1001, "bye"))
		}},
		{name: "until the connection is cut", want: errors.ErrUnsupported, end: func(_ *wstest.Raw, conn *websocket.Conn) {
			_ = conn.CloseNow()
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				go func() { _, _, _ = conn.ReadMessage() }()
				ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, cause)
				defer cancel()
				go func() {
					time.Sleep(time.Second)
					if tc.end != nil {
						tc.end(client, conn)
					}
				}()
				start := time.Now()
				_, err := conn.Ping(ctx)
				switch want := tc.want; {
				case tc.end == nil:
					testws.AssertElapsed(t, start, 3*time.Second)
					require.ErrorIs(t, err, want)
					assert.NoError(t, conn.WriteMessage(websocket.TextMessage, nil), "the connection goes on")
				case errors.Is(want, errors.ErrUnsupported):
					testws.AssertElapsed(t, start, time.Second)
					require.ErrorIs(t, err, context.Cause(conn.Context()))
				default:
					testws.AssertElapsed(t, start, time.Second)
					var got *websocket.CloseError
					require.ErrorAs(t, err, &got)
					assert.Equal(t, want, got)
				}
				_ = conn.CloseNow()
				_, err = conn.Ping(t.Context())
				assert.Error(t, err)
			})
		})
	}
}

func TestKeepAliveOnEveryNetwork(t *testing.T) {
	endpoint := func(pongTimeout time.Duration) (*testws.Controller, *websocket.Upgrader) {
		ctrl := &testws.Controller{ServeFunc: testws.ReadLoop(testws.Wrapped)}
		u := websocket.New(ctrl)
		u.PingInterval, u.PongTimeout = 10*time.Millisecond, pongTimeout
		return ctrl, u
	}
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		ctrl, u := endpoint(time.Minute)
		client := wstest.DialRaw(t, serve(u), "/", nil)
		for n := range uint64(10) {
			client.Expect(testws.KeepAlivePing(n + 1))
			client.Send(testws.KeepAlivePong(n + 1))
		}
		client.Send(wstest.Close(1000, ""))
		_, _ = io.Copy(io.Discard, client)
		testws.AwaitEnd(t, u)
		assert.Empty(t, ctrl.Told.All())

		ctrl, u = endpoint(50 * time.Millisecond)
		client = wstest.DialRaw(t, serve(u), "/", nil)
		_, _ = io.Copy(io.Discard, client)
		testws.AwaitEnd(t, u)
		if told := ctrl.Told.All(); assert.Len(t, told, 1) {
			assert.ErrorIs(t, told[0], websocket.ErrPeerGone)
		}
	})
}

// No ping fits inside a frame, so that a peer that takes one slowly can send no pong.
func TestPeerThatTakesALargeFrameSlowlyStays(t *testing.T) {
	for name, tc := range map[string]struct {
		options websocket.Options
		size    int // at 128 KiB/s
	}{
		"default pings, a WriteTimeout for slow peers": {websocket.Options{WriteTimeout: 10 * time.Minute}, 16 << 20},
		"frequent pings, default WriteTimeout":         {websocket.Options{PingInterval: 5 * time.Second, PongTimeout: 2 * time.Second}, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) { takenSlowly(t, tc.options, tc.size) })
	}
}

// takenSlowly writes a message to a peer that takes 128 KiB a second.
func takenSlowly(t *testing.T, options websocket.Options, size int) {
	synctest.Test(t, func(t *testing.T) {
		wrote := make(chan error, 1)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error {
				wrote <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, size))
				return nil
			})
			_, _, err := conn.ReadMessage()
			return err
		}))
		u.Options = options
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		var got int
		buf := make([]byte, 32<<10)
		for got < size { // 128 KiB/s: 128 s
			time.Sleep(time.Second / 4)
			n, err := io.ReadFull(client, buf)
			got += n
			if err != nil {
				t.Errorf("cut after %d of %d bytes: %v", got, size, err)
				break
			}
		}
		select {
		case err := <-wrote:
			assert.NoError(t, err)
		case <-time.After(time.Hour):
			t.Error("write hangs")
		}
		_ = client.Close()
		testws.AwaitEnd(t, u)
	})
}

func TestEndlessPongTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.PongTimeout = math.MaxInt64
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		client.Expect(testws.KeepAlivePing(1))
		client.Send(testws.KeepAlivePong(1))
		client.Expect(testws.KeepAlivePing(2))
		assert.Zero(t, u.Stats().PeersGone)
		_ = client.Close()
		testws.AwaitEnd(t, u)
	})
}

// Without WriteTimeout, a peer need not take a ping, as long as it sends something.
func TestPingDoesNotBoundWhatIsUnbounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			if err := fillExactly(conn); err != nil {
				return err
			}
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return err
				}
			}
		}))
		u.WriteTimeout = -1
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		for range 60 { // alive, and sends each second; reads after a minute
			time.Sleep(time.Second)
			if _, err := client.Write(wstest.Text("I am here").Bytes()); err != nil {
				t.Error("cut: ", err)
				break
			}
		}
		_ = client.Close()
		testws.AwaitEnd(t, u)
	})
}

func TestPingWhoseContextEndsWhileItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			if err := fillExactly(conn); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second) // WriteTimeout is 10
			defer cancel()
			_, err := conn.Ping(ctx)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NoError(t, conn.Context().Err(), "nothing happens to the connection")
			return nil
		}))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		time.Sleep(3 * time.Second) // a short stall
		_, _ = io.Copy(io.Discard, client)
		testws.AwaitEnd(t, u)
	})
}

// The write of the ping returns late, as any system call may.
func TestPingThatIsAnsweredRightBeforeTheEnd(t *testing.T) {
	failed := 0
	const times = 100
	for range times {
		synctest.Test(t, func(t *testing.T) {
			result := make(chan error, 1)
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				conn.Go(func(context.Context) error {
					_, err := conn.Ping(context.Background())
					result <- err
					return nil
				})
				_, _, err := conn.ReadMessage()
				return err
			}))
			u.Logger = testws.Silent
			l := lateListener{wstest.Listen()}
			server := &http.Server{Handler: u}
			go func() { _ = server.Serve(l) }()
			nc, err := l.DialContext(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 101, testws.UpgradeBare(t, nc))
			_, err = io.ReadFull(nc, make([]byte, 10)) // the ping
			require.NoError(t, err)
			bad := wstest.Text("x").Unmasked().Bytes() // or RST, or Shutdown
			_, _ = nc.Write(append(testws.KeepAlivePong(1).Bytes(), bad...))
			if <-result != nil {
				failed++
			}
			_ = nc.Close()
			testws.AwaitEnd(t, u)
			_ = server.Close()
		})
	}
	assert.Zero(t, failed, "of %d pings, all answered", times)
}

type lateListener struct{ *wstest.Listener }

type late struct{ net.Conn }

func (l lateListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return late{nc}, nil
}

func (c late) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	time.Sleep(time.Millisecond)
	return n, err
}

func TestKeepAliveDoesNotKeepWhatNobodyCloses(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error { return nil }))
	u.Logger = testws.Silent
	server := wstest.Serve(t, u)
	conn, _, err := websocket.Dial(t.Context(), "ws://x/", &websocket.DialOptions{DialContext: server.DialContext})
	require.NoError(t, err)
	_, _, err = conn.ReadMessage()
	require.Error(t, err)
	p := weak.Make(conn)
	conn = nil
	for range 50 {
		runtime.GC()
		if p.Value() == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("half a second after its end the connection is still kept")
}

// fillExactly fills the buffer towards the peer to the last byte.
func fillExactly(conn *websocket.Conn) error {
	time.Sleep(time.Second) // by then the client has read the 101, and nothing else together with it
	for range wstest.PipeBuffer / 1024 {
		if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 1020)); err != nil { // 1024 with the header
			return err
		}
	}
	return nil
}

// One Upgrader may serve in several bubbles at a time: they share no timer.
func TestKeepAliveInSeveralBubbles(t *testing.T) {
	upgrader := websocket.New(&Echo{})
	for range 3 {
		t.Run("bubble", func(t *testing.T) {
			t.Parallel()
			for range 10 {
				synctest.Test(t, func(t *testing.T) {
					clients := make([]*wstest.Client, 40)
					for i := range clients {
						clients[i] = wstest.Dial(t, upgrader, "/", nil)
					}
					time.Sleep(95 * time.Second) // three pings
					for _, client := range clients {
						client.WriteText("hello")
						client.ExpectText("hello")
						client.Close(websocket.CloseNormalClosure, "")
					}
				})
			}
		})
	}
}
