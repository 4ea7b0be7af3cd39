package integration_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const beatInterval = 15 * time.Second

// beating upgrades connections that send heartbeats and no pings. Serve calls act before it
// reads.
func beating(act func(conn *websocket.Conn) error) *websocket.Upgrader {
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		if act != nil {
			if err := act(conn); err != nil {
				return err
			}
		}
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return err
			}
		}
	}))
	u.HeartbeatInterval = beatInterval
	u.Heartbeat = "beat"
	u.PingInterval = -1
	return u
}

func TestHeartbeatIsSentWhereNothingElseIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := beating(nil)
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		for n := 1; n <= 240; n++ { // an hour, in which a peer that says nothing is not gone: there are no pings
			client.Expect(wstest.Text("beat"))
			testws.AssertElapsed(t, start, time.Duration(n)*beatInterval)
		}
		assert.EqualValues(t, 240, u.Stats().MessagesSent)
	})
}

func TestHeartbeatIsAnEmptyTextByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := beating(nil)
		u.Heartbeat = ""
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		client.Expect(wstest.Text(""))
		testws.AssertElapsed(t, start, beatInterval)
	})
}

func TestNoHeartbeatUnlessItIsAskedFor(t *testing.T) {
	for name, interval := range map[string]time.Duration{"by default": 0, "negative": -time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := websocket.New(websocket.ControllerFunc(testws.ReadLoop(testws.Returned)))
				u.HeartbeatInterval, u.Heartbeat = interval, "beat"
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
				for n := range uint64(120) { // an hour
					client.Expect(testws.KeepAlivePing(n + 1))
					client.Send(testws.KeepAlivePong(n + 1))
				}
				assert.Zero(t, u.Stats().MessagesSent)
			})
		})
	}
}

// However a message is written, the next heartbeat is due one interval after it.
func TestMessagePutsTheHeartbeatOff(t *testing.T) {
	encoded, err := websocket.EncodeMessage(websocket.TextMessage, []byte("news"))
	require.NoError(t, err)
	rooms := hub.New(hub.Options{})
	for name, send := range map[string]func(conn *websocket.Conn) error{
		"WriteMessage": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.TextMessage, []byte("news"))
		},
		"NextWriter": func(conn *websocket.Conn) error {
			w, err := conn.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			_, _ = w.Write([]byte("news"))
			return w.Close()
		},
		"Enqueue": func(conn *websocket.Conn) error {
			defer conn.Flush()
			return conn.Enqueue(websocket.QueueLimit{}, encoded)
		},
		"a broadcast": func(conn *websocket.Conn) error {
			if _, err := rooms.Join(conn, "lobby"); err != nil {
				return err
			}
			return rooms.To(hub.Room("lobby")).Send(hub.Text("news"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := wstest.DialRaw(t, beating(func(conn *websocket.Conn) error {
					time.Sleep(7 * time.Second)
					return send(conn)
				}), "/", &wstest.Options{Timeout: -1})
				start := time.Now()
				client.Expect(wstest.Text("news"))
				testws.AssertElapsed(t, start, 7*time.Second)
				client.Expect(wstest.Text("beat"))
				testws.AssertElapsed(t, start, 22*time.Second)
				client.Expect(wstest.Text("beat"))
				testws.AssertElapsed(t, start, 37*time.Second)
			})
		})
	}
}

func TestPreparedAndCompressedMessagesPutTheHeartbeatOff(t *testing.T) {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("news"))
	require.NoError(t, err)
	for name, send := range map[string]func(conn *websocket.Conn) error{
		"prepared":   func(conn *websocket.Conn) error { return conn.WritePreparedMessage(prepared) },
		"compressed": func(conn *websocket.Conn) error { return conn.WriteMessage(websocket.TextMessage, make([]byte, 1024)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := beating(func(conn *websocket.Conn) error {
					time.Sleep(7 * time.Second)
					return send(conn)
				})
				u.Settings.EnableCompression = true
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1, Compression: true})
				start := time.Now()
				frame, err := client.Receive()
				require.NoError(t, err)
				require.Equal(t, byte(wstest.OpText), frame.Opcode)
				testws.AssertElapsed(t, start, 7*time.Second)
				client.Expect(wstest.Text("beat"))
				testws.AssertElapsed(t, start, 22*time.Second)
			})
		})
	}
}

// Pings, pongs and received messages do not postpone a heartbeat, because a page does not
// see them.
func TestWhatAPageDoesNotSeePutsNothingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := beating(nil)
		u.PingInterval = 4 * time.Second
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		for n := range uint64(3) {
			client.Expect(testws.KeepAlivePing(n + 1))
			client.Send(testws.KeepAlivePong(n+1), wstest.Ping("mine"), wstest.Text("hello"))
			client.Expect(wstest.Pong("mine"))
		}
		client.Expect(wstest.Text("beat"))
		testws.AssertElapsed(t, start, beatInterval)
	})
}

// A ping and a heartbeat that are due at the same time are both sent.
func TestHeartbeatBesideAPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := beating(nil)
		u.PingInterval = beatInterval
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		for n := 1; n <= 10; n++ {
			client.Expect(testws.KeepAlivePing(uint64(n)), wstest.Text("beat"))
			client.Send(testws.KeepAlivePong(uint64(n)))
			testws.AssertElapsed(t, start, time.Duration(n)*beatInterval)
		}
		client.Expect(testws.KeepAlivePing(11), wstest.Text("beat")) // a peer that does not answer is gone nevertheless
		client.ExpectEnd()
		testws.AssertElapsed(t, start, 10*beatInterval+25*time.Second)
	})
}

// No heartbeat interrupts a streamed message, however long it takes. The message counts as
// a sign of life when it is complete.
func TestNoHeartbeatWithinAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wstest.DialRaw(t, beating(func(conn *websocket.Conn) error {
			w, err := conn.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			_, _ = w.Write(make([]byte, 5000)) // more than a buffer, so that a frame leaves
			time.Sleep(40 * time.Second)
			return w.Close()
		}), "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		for {
			frame, err := client.Receive()
			require.NoError(t, err)
			require.NotEqual(t, "beat", string(frame.Payload))
			if frame.Fin {
				break
			}
		}
		testws.AssertElapsed(t, start, 40*time.Second)
		client.Expect(wstest.Text("beat"))
		testws.AssertElapsed(t, start, 55*time.Second)
	})
}

// A heartbeat that is delayed, here by a ping that waits for a large message, is not sent
// if a message was completed meanwhile.
func TestHeartbeatThatIsHeldUpIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := make([]byte, 2*wstest.PipeBuffer)
		u := beating(func(conn *websocket.Conn) error {
			time.Sleep(14 * time.Second)
			return conn.WriteMessage(websocket.BinaryMessage, large)
		})
		u.PingInterval = beatInterval
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		time.Sleep(18 * time.Second)
		client.Expect(wstest.Binary(large), testws.KeepAlivePing(1))
		client.Send(testws.KeepAlivePong(1))
		testws.AssertElapsed(t, start, 18*time.Second)
		client.Expect(testws.KeepAlivePing(2))
		client.Send(testws.KeepAlivePong(2))
		testws.AssertElapsed(t, start, 30*time.Second)
		client.Expect(wstest.Text("beat"))
		testws.AssertElapsed(t, start, 33*time.Second)
	})
}

// A peer that takes nothing is noticed by its pending message, and no heartbeat waits
// behind that.
func TestNoHeartbeatBehindAMessageThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := beating(func(conn *websocket.Conn) error {
			time.Sleep(10 * time.Second)
			return conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer))
		})
		u.WriteTimeout = time.Minute
		_ = wstest.DialRaw(t, u, "/", nil)
		time.Sleep(70 * time.Second)
		testws.AwaitEnd(t, u)
		assert.Zero(t, u.Stats().MessagesSent)
	})
}

func TestNoHeartbeatAfterTheCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := beating(func(*websocket.Conn) error { return websocket.NewCloseError(4000, "enough") })
		u.CloseTimeout = time.Hour
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		client.ExpectClose(4000, "enough")
		client.ExpectEnd()
		testws.AssertElapsed(t, start, time.Hour)
	})
}

// A client of Dial may send heartbeats, too.
func TestHeartbeatOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string)
		server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for {
				_, message, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				got <- string(message)
			}
		})))
		conn, _, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
			HeartbeatInterval: beatInterval, Heartbeat: "beat",
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return server.DialContext(ctx, network, address)
			},
		})
		require.NoError(t, err)
		defer func() { _ = conn.CloseNow() }()
		start := time.Now()
		for n := 1; n <= 3; n++ {
			assert.Equal(t, "beat", <-got)
			testws.AssertElapsed(t, start, time.Duration(n)*beatInterval)
		}
	})
}

func TestHeartbeatIsText(t *testing.T) {
	options := websocket.Options{Heartbeat: "\xff"}
	require.EqualError(t, options.Validate(), `websocket: Heartbeat is "\xff": want UTF-8`)
	options.Heartbeat = "♥"
	require.NoError(t, options.Validate())
}

// Over TCP, among writers of all kinds, heartbeats are whole messages between others.
func TestHeartbeatsAmongWriters(t *testing.T) {
	const writers, messages = 3, 150
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		encoded, err := websocket.EncodeMessage(websocket.TextMessage, []byte("queued"))
		if err != nil {
			return err
		}
		for n := range writers {
			conn.Go(func(context.Context) error {
				for range messages {
					time.Sleep(time.Millisecond) // in which there is silence, or not
					var err error
					switch n {
					case 0:
						err = conn.WriteMessage(websocket.TextMessage, []byte("whole"))
					case 1:
						var w io.WriteCloser
						if w, err = conn.NextWriter(websocket.TextMessage); err == nil {
							_, _ = io.WriteString(w, strings.Repeat("s", 5000))
							time.Sleep(time.Millisecond)
							err = w.Close()
						}
					default:
						err = conn.Enqueue(websocket.QueueLimit{}, encoded)
						conn.Flush()
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		_, _, err = conn.ReadMessage()
		return err
	}))
	u.HeartbeatInterval, u.Heartbeat = 200*time.Microsecond, "beat"
	server := httptest.NewServer(u)
	defer server.Close()
	client := wstest.Dial(t, server, "/", &wstest.Options{Timeout: 30 * time.Second})
	got := make(map[string]int)
	for got["whole"] < messages || got[strings.Repeat("s", 5000)] < messages || got["queued"] < messages {
		_, message, err := client.ReadMessage()
		require.NoError(t, err)
		got[string(message)]++
	}
	assert.Len(t, got, writers+1, "nothing but these")
	assert.NotZero(t, got["beat"])
	client.Close(websocket.CloseNormalClosure, "")
	testws.AwaitEnd(t, u)
}
