package websocket_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writes is a connection that writes down what is written in one call, and when.
type writes struct {
	net.Conn
	mu    sync.Mutex
	calls [][]byte
	at    []time.Time
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.calls = append(w.calls, bytes.Clone(p))
	w.at = append(w.at, time.Now())
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// reset forgets what was written and returns it, as the frames of each call.
func (w *writes) reset(t *testing.T) (calls [][]string, at []time.Time) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, call := range w.calls {
		var frames []string
		for r := bytes.NewReader(call); r.Len() > 0; {
			frame, err := wstest.ReadFrame(r)
			require.NoError(t, err)
			frames = append(frames, frame.String())
		}
		calls = append(calls, frames)
	}
	at, w.calls, w.at = w.at, nil, nil
	return calls, at
}

type writesListener struct {
	net.Listener
	conns chan *writes
}

func (l *writesListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &writes{Conn: nc}
	l.conns <- conn
	return conn, nil
}

// corked connects a client to a controller, in a bubble, and returns what the
// server writes to.
func corked(t *testing.T, serve websocket.ControllerFunc) (client net.Conn, server *writes) {
	t.Helper()
	u := websocket.New(serve)
	u.Log = silent
	memory := wstest.Listen()
	listener := &writesListener{Listener: memory, conns: make(chan *writes, 1)}
	httpServer := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
	t.Cleanup(func() { _ = httpServer.Close() })
	go func() { _ = httpServer.Serve(listener) }()
	client, err := memory.DialContext(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	require.Equal(t, http.StatusSwitchingProtocols, upgradeBare(t, client))
	server = <-listener.conns
	synctest.Wait()
	server.mu.Lock()
	server.calls, server.at = nil, nil
	server.mu.Unlock()
	return client, server
}

// send writes frames in one call, so that they are there at once.
func sendAll(t *testing.T, client net.Conn, frames ...wstest.Frame) {
	t.Helper()
	var b []byte
	for _, frame := range frames {
		b = frame.AppendTo(b)
	}
	_, err := client.Write(b)
	require.NoError(t, err)
	synctest.Wait()
}

func unmasked(frames ...wstest.Frame) []string {
	var all []string
	for _, frame := range frames {
		all = append(all, frame.Unmasked().String())
	}
	return all
}

func TestAnswersToFramesThatCameTogetherLeaveTogether(t *testing.T) {
	a, b, c := wstest.Text("a"), wstest.Binary([]byte("b")), wstest.Text("c")
	cases := []struct {
		name string
		send []wstest.Frame
		want [][]string
	}{
		{name: "one", send: []wstest.Frame{a}, want: [][]string{unmasked(a)}},
		{name: "three", send: []wstest.Frame{a, b, c}, want: [][]string{unmasked(a, b, c)}},
		{name: "with a ping between", send: []wstest.Frame{a, b, wstest.Ping("?"), c}, want: [][]string{unmasked(a, b, wstest.Pong("?")), unmasked(c)}},
		{name: "with a close frame behind", send: []wstest.Frame{a, b, wstest.Close(1000, "")}, want: [][]string{unmasked(a, b, wstest.Close(1000, ""))}},
		{name: "with a fragmented message between", send: []wstest.Frame{a, part(wstest.OpText, false, "x"), part(wstest.OpContinuation, true, "y"), b},
			want: [][]string{unmasked(a, wstest.Text("xy"), b)}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := corked(t, echo)
				sendAll(t, client, tc.send...)
				calls, _ := server.reset(t)
				assert.Equal(t, tc.want, calls)
			})
		})
	}
}

// What is held back leaves after a millisecond, whatever the reader does.
func TestHeldFramesLeaveInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := corked(t, func(conn *websocket.Conn, _ *http.Request) error {
			for {
				messageType, p, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				if err := conn.WriteMessage(messageType, p); err != nil {
					return err
				}
				time.Sleep(time.Minute) // busy
			}
		})
		start := time.Now()
		sendAll(t, client, wstest.Text("a"), wstest.Text("b"))
		time.Sleep(2 * time.Minute)
		calls, at := server.reset(t)
		assert.Equal(t, unmasked(wstest.Text("a")), calls[0])
		assert.Equal(t, start.Add(time.Millisecond), at[0])
	})
}

func TestHeldFramesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := corked(t, func(conn *websocket.Conn, _ *http.Request) error {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return err
				}
				if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 4000)); err != nil {
					return err
				}
			}
		})
		frames := make([]wstest.Frame, 12)
		for i := range frames {
			frames[i] = wstest.Text("x")
		}
		sendAll(t, client, frames...)
		calls, _ := server.reset(t)
		require.Len(t, calls, 2)
		assert.Len(t, calls[0], 9) // 8 are held, and the one that finds no room takes them along
		assert.Len(t, calls[1], 3)
	})
}

// The messages of one goroutine stay in order, whether held, large or streamed.
func TestHeldFramesStayInOrder(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		client := wstest.DialRaw(t, serve(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for i := 0; ; i++ {
				messageType, p, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				switch i % 5 {
				case 0:
					var w io.WriteCloser
					if w, err = conn.NextWriter(messageType); err == nil {
						_, _ = w.Write(p)
						err = w.Close()
					}
				case 1:
					var prepared *websocket.PreparedMessage
					if prepared, err = websocket.NewPreparedMessage(messageType, p); err == nil {
						err = conn.WritePreparedMessage(prepared)
					}
				default:
					err = conn.WriteMessage(messageType, p)
				}
				if err != nil {
					return err
				}
			}
		}))), "/", nil)
		var frames []wstest.Frame
		for i := range 200 {
			size := (i * 97) % 6000
			if i%5 == 0 {
				size %= 4000 // a stream sends longer ones in fragments
			}
			frames = append(frames, wstest.Text(strings.Repeat("x", size)))
		}
		go client.Send(frames...)
		client.Expect(frames...)
	})
}

// A read with a bound must not have to write first: nothing is held for it.
func TestNothingIsHeldForReadsWithABound(t *testing.T) {
	reads := map[string]func(conn *websocket.Conn) (int, []byte, error){
		"a context": func(conn *websocket.Conn) (int, []byte, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return conn.ReadMessageContext(ctx)
		},
		"a deadline": func(conn *websocket.Conn) (int, []byte, error) {
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			return conn.ReadSlice()
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := corked(t, func(conn *websocket.Conn, _ *http.Request) error {
					for {
						messageType, p, err := read(conn)
						if err != nil {
							return err
						}
						if err := conn.WriteMessage(messageType, p); err != nil {
							return err
						}
					}
				})
				a, b := wstest.Text("a"), wstest.Text("b")
				sendAll(t, client, a, b)
				calls, _ := server.reset(t)
				assert.Equal(t, [][]string{unmasked(a), unmasked(b)}, calls)
			})
		})
	}
}
