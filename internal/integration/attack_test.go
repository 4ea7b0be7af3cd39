package integration_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// defense runs an attack against an endpoint over TCP. It checks that another client is
// served meanwhile, and that the attack leaves nothing behind: no goroutine, no descriptor
// and no connection, which a running timer would retain.
func defense(t *testing.T, u *websocket.Upgrader, attack func(t *testing.T, server *httptest.Server)) {
	t.Helper()
	before := testws.Descriptors(t)
	var mu sync.Mutex
	var conns []weak.Pointer[websocket.Conn]
	serve := u.Controller
	u.Controller = websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		mu.Lock()
		conns = append(conns, weak.Make(conn))
		mu.Unlock()
		if r.URL.Path == "/bystander" {
			return testws.Echo(conn, r)
		}
		return serve.Serve(conn, r)
	})
	if u.Logger == nil {
		u.Logger = testws.Silent
	}
	t.Run("attack", func(t *testing.T) { // which closes its sockets at its end
		server := httptest.NewServer(u)
		defer server.Close()
		bystander := wstest.Dial(t, server, "/bystander", &wstest.Options{Timeout: 20 * time.Second})
		over := make(chan struct{})
		var watching sync.WaitGroup
		served := 0
		watching.Go(func() {
			for {
				bystander.WriteText("still here?")
				bystander.ExpectText("still here?")
				served++
				select {
				case <-over:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		attack(t, server)
		close(over)
		watching.Wait()
		assert.Positive(t, served, "the others are served")
		bystander.Close(1000, "")
		require.Eventually(t, func() bool { return u.Stats().Open == 0 }, 20*time.Second, 5*time.Millisecond)
	})
	goleak.VerifyNone(t)
	assert.LessOrEqual(t, testws.Descriptors(t), before, "descriptors")
	assert.Eventually(t, func() bool {
		runtime.GC()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			if conn.Value() != nil {
				return false
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond, "connections that something still holds")
}

// brief has timeouts so short that attacks end within a test.
var brief = websocket.Options{CloseTimeout: 300 * time.Millisecond, WriteTimeout: 300 * time.Millisecond}

func attacked(serve websocket.ControllerFunc) *websocket.Upgrader {
	u := websocket.New(serve)
	u.Options = brief
	return u
}

// inflating returns the endpoint that compressed attacks are run against.
func inflating(serve websocket.ControllerFunc) *websocket.Upgrader {
	u := attacked(serve)
	u.Settings.EnableCompression = true
	return u
}

// each runs the attack on n connections at the same time.
func each(t *testing.T, server *httptest.Server, n int, attack func(client *wstest.Raw)) {
	t.Helper()
	var running sync.WaitGroup
	defer running.Wait()
	for range n {
		client := wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: 20 * time.Second, Compression: true})
		running.Go(func() {
			defer func() { _ = client.Close() }()
			attack(client)
		})
	}
}

// bomb is a compressed message of zeros.
func bomb(size int) wstest.Frame { return testws.Deflated(strings.Repeat("\x00", size)) }

func TestAttackByBombs(t *testing.T) {
	frame := bomb(10 << 20).Bytes()
	require.Less(t, len(frame), 12<<10)
	for _, how := range []string{"ReadMessage", "NextReader", "messages left unread"} {
		t.Run(how, func(t *testing.T) {
			u := inflating(readings[how])
			defense(t, u, func(t *testing.T, server *httptest.Server) {
				client := wstest.DialRaw(t, server, "/", &wstest.Options{Compression: true})
				var start, end runtime.MemStats
				runtime.ReadMemStats(&start)
				client.SendBytes(frame)
				client.ExpectClose(1009, "message too big")
				runtime.ReadMemStats(&end)
				// All allocations, including the bystander's and those of a slice that
				// grows to 1 MiB.
				assert.Less(t, end.TotalAlloc-start.TotalAlloc, uint64(8<<20))
				_ = client.Close()
				each(t, server, 20, func(client *wstest.Raw) {
					client.SendBytes(frame)
					client.ExpectClose(1009, "message too big")
				})
			})
			assert.EqualValues(t, 21, u.Stats().CloseSent[1009])
		})
	}
}

func TestAttackByLengths(t *testing.T) {
	for name, length := range map[string]uint64{
		"with the top bit set": 1 << 63, "all bits": math.MaxUint64, "that no machine has": math.MaxInt64, "a little too long": 1<<20 + 1,
	} {
		t.Run(name, func(t *testing.T) {
			u := attacked(testws.Echo)
			defense(t, u, func(t *testing.T, server *httptest.Server) {
				each(t, server, 50, func(client *wstest.Raw) {
					client.SendBytes(wstest.Binary(nil).AppendHeader(nil, length))
					client.ExpectClose(1009, "message too big")
				})
			})
		})
	}
	t.Run("longer than what comes", func(t *testing.T) {
		defense(t, attacked(testws.Echo), func(t *testing.T, server *httptest.Server) {
			each(t, server, 50, func(client *wstest.Raw) {
				client.SendBytes(append(wstest.Binary(nil).AppendHeader(nil, 1<<20), "little"...))
			})
		})
	})
	t.Run("in all, of fragments", func(t *testing.T) {
		defense(t, attacked(testws.Echo), func(t *testing.T, server *httptest.Server) {
			each(t, server, 10, func(client *wstest.Raw) {
				client.Send(testws.Part(wstest.OpBinary, false, ""))
				for range 8 {
					client.Send(testws.Part(wstest.OpContinuation, false, strings.Repeat("x", 1<<17)))
				}
				client.Send(testws.Part(wstest.OpContinuation, false, "x"))
				client.ExpectClose(1009, "message too big")
			})
		})
	})
}

// flooding writes the same frames until the server takes no more of them.
func flooding(frames ...wstest.Frame) func(client *wstest.Raw) {
	var b []byte
	for len(b) < 64<<10 {
		for _, f := range frames {
			b = f.AppendTo(b)
		}
	}
	return func(client *wstest.Raw) {
		_ = client.SetWriteDeadline(time.Now().Add(20 * time.Second))
		for {
			if _, err := client.Write(b); err != nil {
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					panic("the server neither reads nor hangs up")
				}
				return
			}
		}
	}
}

// A flood of frames that need an answer ends when the network takes no more answers.
func TestAttackByFloods(t *testing.T) {
	for name, frame := range map[string]wstest.Frame{
		"pings": wstest.Ping(strings.Repeat("x", 125)), "messages": wstest.Text(strings.Repeat("echo", 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			defense(t, attacked(testws.Echo), func(t *testing.T, server *httptest.Server) {
				each(t, server, 5, flooding(frame))
			})
		})
	}
}

// Frames that need no answer may come as long as the attacker likes. They cost time, but no
// memory.
func TestAttackByFramesThatSayNothing(t *testing.T) {
	cases := []struct {
		name  string
		first wstest.Frame
		then  []wstest.Frame
	}{
		{name: "pongs", first: wstest.Pong(""), then: []wstest.Frame{wstest.Pong("unasked")}},
		{name: "empty fragments", first: testws.Part(wstest.OpText, false, ""), then: []wstest.Frame{testws.Part(wstest.OpContinuation, false, "")}},
		{name: "empty fragments of a compressed message", first: wstest.Frame{RSV: 4, Opcode: wstest.OpText, Masked: true},
			then: []wstest.Frame{testws.Part(wstest.OpContinuation, false, ""), wstest.Pong("")}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			defense(t, inflating(testws.Echo), func(t *testing.T, server *httptest.Server) {
				each(t, server, 5, func(client *wstest.Raw) {
					client.Send(tc.first)
					var start, end runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&start)
					for range 20_000 {
						client.Send(tc.then...)
					}
					runtime.GC()
					runtime.ReadMemStats(&end)
					assert.Less(t, end.HeapAlloc, start.HeapAlloc+4<<20)
				})
			})
		})
	}
}

// A peer that sends a byte now and then holds a connection and nothing else. That it counts as alive
// meanwhile, TestLivePeerStays checks: on a busy machine, the next byte may come too late.
func TestAttackByTheSlow(t *testing.T) {
	u := attacked(testws.Echo)
	u.PingInterval, u.PongTimeout = 20*time.Millisecond, 200*time.Millisecond
	message := append(wstest.Text("slow").Bytes(), wstest.Binary(make([]byte, 1000)).Bytes()...)
	defense(t, u, func(t *testing.T, server *httptest.Server) {
		each(t, server, 100, func(client *wstest.Raw) {
			for _, b := range message[:50] {
				if _, err := client.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			for { // and then nothing: the server does not wait for ever
				frame, err := client.Receive()
				if err != nil {
					return
				}
				assert.NotEqual(t, wstest.OpClose, frame.Opcode)
			}
		})
	})
	assert.EqualValues(t, 100, u.Stats().PeersGone)
}

// Ten goroutines write to each peer, which reads nothing.
func TestAttackByPeersThatNeverRead(t *testing.T) {
	var writing atomic.Int32
	u := attacked(func(conn *websocket.Conn, _ *http.Request) error {
		message := make([]byte, 64<<10)
		for range 10 {
			writing.Add(1)
			conn.Go(func(context.Context) error {
				defer writing.Add(-1)
				for {
					if err := conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
						return err
					}
				}
			})
		}
		_, _, err := conn.ReadMessage()
		return err
	})
	defense(t, u, func(t *testing.T, server *httptest.Server) {
		each(t, server, 20, func(client *wstest.Raw) {
			for { // until the server has given up
				if _, err := client.Write(wstest.Pong("").Bytes()); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	})
	assert.Zero(t, writing.Load())
}

func TestAttackByResets(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	text := wstest.Text(strings.Repeat("x", 1000)).Bytes()
	states := []struct {
		name string
		send string
		read bool // up to the 101
	}{
		{name: "before the request"},
		{name: "within the request", send: request[:40]},
		{name: "before the response", send: request},
		{name: "with a message behind the request", send: request + string(text)},
		{name: "upgraded", send: request, read: true},
		{name: "within a header", send: request + string(text[:1]), read: true},
		{name: "within a mask", send: request + string(text[:6]), read: true},
		{name: "within a payload", send: request + string(text[:500]), read: true},
		{name: "behind a message", send: request + string(text), read: true},
		{name: "between fragments", send: request + string(testws.Part(wstest.OpText, false, "x").Bytes()), read: true},
		{name: "within a ping", send: request + string(wstest.Ping("hello").Bytes()[:8]), read: true},
		{name: "behind a ping", send: request + string(wstest.Ping("hello").Bytes()), read: true},
		{name: "within a close frame", send: request + string(wstest.Close(1000, "bye").Bytes()[:7]), read: true},
		{name: "behind a close frame", send: request + string(wstest.Close(1000, "bye").Bytes()), read: true},
		{name: "behind a breach", send: request + string(wstest.Text("").Unmasked().Bytes()), read: true},
	}
	serves := map[string]websocket.ControllerFunc{
		"echo":    testws.Echo,
		"closing": func(*websocket.Conn, *http.Request) error { return nil },
		"writing": func(conn *websocket.Conn, _ *http.Request) error {
			for {
				if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 1000)); err != nil {
					return err
				}
			}
		},
	}
	for how, serve := range serves {
		t.Run(how, func(t *testing.T) {
			defense(t, attacked(serve), func(t *testing.T, server *httptest.Server) {
				for _, state := range states {
					var running sync.WaitGroup
					for range 20 {
						running.Go(func() {
							conn, err := net.Dial("tcp", server.Listener.Addr().String())
							if !assert.NoError(t, err) {
								return
							}
							_, err = io.WriteString(conn, state.send)
							assert.NoError(t, err)
							if state.read {
								_, _ = io.ReadFull(conn, make([]byte, 80)) // some of the 101
							}
							_ = conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // it is one
							_ = conn.Close()
						})
					}
					running.Wait()
				}
			})
		})
	}
}

func TestAttackByPeersThatVanish(t *testing.T) {
	u := attacked(testws.Echo)
	defense(t, u, func(t *testing.T, server *httptest.Server) {
		var running sync.WaitGroup
		for range 20 {
			running.Go(func() {
				for range 100 {
					conn, err := net.Dial("tcp", server.Listener.Addr().String())
					if !assert.NoError(t, err) {
						return
					}
					testws.UpgradeBare(t, conn)
					_ = conn.Close()
				}
			})
		}
		running.Wait()
	})
	assert.EqualValues(t, 2001, u.Stats().Upgrades)
}
