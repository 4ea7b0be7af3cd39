package integration_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sendAll writes frames in one call, so that they arrive together.
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
		{name: "with a fragmented message between", send: []wstest.Frame{a, testws.Part(wstest.OpText, false, "x"), testws.Part(wstest.OpContinuation, true, "y"), b},
			want: [][]string{unmasked(a, wstest.Text("xy"), b)}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := testws.RecordWrites(t, testws.Echo)
				sendAll(t, client, tc.send...)
				calls, _ := server.Reset(t)
				assert.Equal(t, tc.want, calls)
			})
		})
	}
}

// Corked frames are sent after a millisecond, whatever the reading goroutine does.
func TestHeldFramesLeaveInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testws.RecordWrites(t, func(conn *websocket.Conn, _ *http.Request) error {
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
		calls, at := server.Reset(t)
		assert.Equal(t, unmasked(wstest.Text("a")), calls[0])
		assert.Equal(t, start.Add(time.Millisecond), at[0])
	})
}

func TestHeldFramesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := testws.RecordWrites(t, func(conn *websocket.Conn, _ *http.Request) error {
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
		calls, _ := server.Reset(t)
		require.Len(t, calls, 2)
		assert.Len(t, calls[0], 9) // 8 are held, and the one that finds no room takes them along
		assert.Len(t, calls[1], 3)
	})
}

// The messages of one goroutine stay in order, whether corked, large or streamed.
func TestHeldFramesStayInOrder(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
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

// A read with a deadline must not have to write first: no frame is corked for it.
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
				client, server := testws.RecordWrites(t, func(conn *websocket.Conn, _ *http.Request) error {
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
				calls, _ := server.Reset(t)
				assert.Equal(t, [][]string{unmasked(a), unmasked(b)}, calls)
			})
		})
	}
}
