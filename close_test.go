package websocket_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
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
)

func TestCloseWaitsForThePeer(t *testing.T) {
	cases := []struct {
		name    string
		timeout time.Duration
		peer    func(client *wstest.Raw)
		want    time.Duration
	}{
		{name: "that answers at once", peer: func(client *wstest.Raw) {
			client.Send(wstest.Close(4000, ""))
		}},
		{name: "that answers after three seconds", peer: func(client *wstest.Raw) {
			time.Sleep(3 * time.Second)
			client.Send(wstest.Close(4000, ""))
		}, want: 3 * time.Second},
		{name: "that answers after what it still had to say", peer: func(client *wstest.Raw) {
			client.Send(wstest.Text("late"), wstest.Ping("late"), wstest.Binary(make([]byte, 10_000)))
			time.Sleep(time.Second)
			client.Send(wstest.Close(4000, ""))
		}, want: time.Second},
		{name: "that answers with another code", peer: func(client *wstest.Raw) {
			client.Send(wstest.Close(1001, "me too"))
		}},
		{name: "that never answers", peer: func(*wstest.Raw) {}, want: 10 * time.Second},
		{name: "that never answers, for the connection's own timeout", timeout: 2 * time.Second, peer: func(*wstest.Raw) {}, want: 2 * time.Second},
		{name: "that is not waited for", timeout: -1, peer: func(*wstest.Raw) {}},
		{name: "that stops in the middle of a frame", peer: func(client *wstest.Raw) {
			client.SendBytes(wstest.Text("hello").Bytes()[:8])
		}, want: 10 * time.Second},
		{name: "that half-closes", peer: func(client *wstest.Raw) {
			time.Sleep(time.Second)
			testws.HalfClose(client)
		}, want: time.Second},
		{name: "that hangs up", peer: func(client *wstest.Raw) {
			time.Sleep(time.Second)
			_ = client.Close()
		}, want: time.Second},
		{name: "that resets the connection", peer: func(client *wstest.Raw) {
			time.Sleep(time.Second)
			wstest.Reset(client.Conn)
		}, want: time.Second},
		{name: "that breaks the protocol and stays", peer: func(client *wstest.Raw) {
			client.Send(wstest.Frame{Fin: true, Opcode: 7, Masked: true})
		}, want: time.Second},
		{name: "that floods", peer: func(client *wstest.Raw) {
			for {
				if _, err := client.Write(wstest.Text(strings.Repeat("x", 1000)).Bytes()); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, want: 10 * time.Second},
	}
	readers := map[string]func(conn *websocket.Conn){
		"without a read":      func(*websocket.Conn) {},
		"a reader":            func(conn *websocket.Conn) { _ = testws.ReadLoop(testws.Returned)(conn, nil) },
		"a reader that stops": func(conn *websocket.Conn) { _, _, _ = conn.ReadMessage() },
		"a reader of parts":   func(conn *websocket.Conn) { testws.ReadByte(conn) },
		"a reader with deadline": func(conn *websocket.Conn) {
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			testws.ReadByte(conn)
		},
	}
	for _, c := range cases {
		for name, read := range readers {
			t.Run(c.name+", with "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, conn := testws.RawPair(t, websocket.Options{})
					if c.timeout != 0 {
						conn.SetCloseHandshakeTimeout(c.timeout)
					}
					var running sync.WaitGroup
					defer running.Wait()
					running.Go(func() { read(conn) })
					synctest.Wait()

					start := time.Now()
					running.Go(func() {
						client.ExpectClose(4000, "bye")
						c.peer(client)
					})
					require.NoError(t, conn.Close(4000, "bye"))
					testws.AssertElapsed(t, start, c.want)
					_, err := conn.NetConn().Read(make([]byte, 1))
					require.ErrorIs(t, err, net.ErrClosed)
				})
			})
		}
	}
}

func TestCloseAgainstAPeerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := testws.RawPair(t, websocket.Options{WriteTimeout: -1})
		write := testws.Fill(conn)
		start := time.Now()
		require.ErrorIs(t, conn.Close(4000, ""), os.ErrDeadlineExceeded)
		testws.AssertElapsed(t, start, 10*time.Second)
		require.ErrorIs(t, <-write, net.ErrClosed)
		assert.Equal(t, &websocket.CloseError{Code: 4000}, context.Cause(conn.Context()))
	})
}

func TestCloseDuringAWriteThatThePeerTakesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		write := testws.Fill(conn)
		closed := make(chan error, 1)
		go func() { closed <- conn.Close(4000, "") }()
		time.Sleep(5 * time.Second)
		message, err := client.Receive()
		require.NoError(t, err)
		assert.Len(t, message.Payload, 2*wstest.PipeBuffer, "the frame under way is whole")
		require.NoError(t, <-write)
		client.ExpectClose(4000, "")
		client.Send(wstest.Close(4000, ""))
		require.NoError(t, <-closed)
	})
}

func TestCloseFrameIsEchoedAfterTheFrameUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		write := testws.Fill(conn)
		client.Send(wstest.Close(3000, "bye"))
		read := make(chan error, 1)
		go func() { _, _, err := conn.ReadMessage(); read <- err }()
		synctest.Wait()
		assert.Error(t, conn.Context().Err(), "the context ends when the close frame is read")

		message, err := client.Receive()
		require.NoError(t, err)
		assert.Len(t, message.Payload, 2*wstest.PipeBuffer)
		client.ExpectClose(3000, "")
		client.ExpectEnd()
		require.NoError(t, <-write)
		require.Equal(t, &websocket.CloseError{Code: 3000, Text: "bye"}, <-read)
	})
}

func TestCloseFrameOfAPeerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: time.Minute})
		write := testws.Fill(conn)
		client.Send(wstest.Close(3000, ""))
		start := time.Now()
		_, _, err := conn.ReadMessage()
		require.Equal(t, 3000, websocket.CloseStatus(err))
		testws.AssertElapsed(t, start, 10*time.Second)
		require.ErrorIs(t, <-write, net.ErrClosed)
	})
}

func TestCloseFromAnywhere(t *testing.T) {
	goodbye := func(conn *websocket.Conn) { _ = conn.Close(4000, "") }
	cases := map[string]struct {
		serve func(conn *websocket.Conn) error
		send  wstest.Frame
	}{
		"a ping handler": {send: wstest.Ping("x"), serve: func(conn *websocket.Conn) error {
			conn.SetPingHandler(func(string) error { goodbye(conn); return nil })
			return testws.ReadLoop(testws.Returned)(conn, nil)
		}},
		"a pong handler": {send: wstest.Pong("x"), serve: func(conn *websocket.Conn) error {
			conn.SetPongHandler(func(string) error { goodbye(conn); return nil })
			return testws.ReadLoop(testws.Returned)(conn, nil)
		}},
		"another goroutine during a read": {send: wstest.Text("x"), serve: func(conn *websocket.Conn) error {
			go goodbye(conn)
			return testws.ReadLoop(testws.Returned)(conn, nil)
		}},
		"two goroutines at once, and a third later": {send: wstest.Text("x"), serve: func(conn *websocket.Conn) error {
			go goodbye(conn)
			go goodbye(conn)
			err := testws.ReadLoop(testws.Returned)(conn, nil)
			goodbye(conn)
			return err
		}},
		"a function of the connection": {send: wstest.Text("x"), serve: func(conn *websocket.Conn) error {
			conn.Go(func(context.Context) error { goodbye(conn); return nil })
			return testws.ReadLoop(testws.Returned)(conn, nil)
		}},
		"within a message that is half read": {send: wstest.Text(strings.Repeat("x", 1000)), serve: func(conn *websocket.Conn) error {
			testws.ReadByte(conn)
			goodbye(conn)
			return nil
		}},
		"within a message that is half written": {send: wstest.Text("x"), serve: func(conn *websocket.Conn) error {
			_, _ = conn.NextWriter(websocket.TextMessage)
			goodbye(conn)
			return nil
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error { return c.serve(conn) }}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Send(c.send)
				client.ExpectClose(4000, "")
				client.Send(wstest.Text("not delivered"), wstest.Close(4000, ""))
				client.ExpectEnd()
				testws.AwaitEnd(t, u)
				assert.Empty(t, ctrl.Told.All())
			})
		})
	}
}

func TestCloseFromTheCloseHandlerIsTheAnswer(t *testing.T) {
	for name, answer := range map[string]func(conn *websocket.Conn) error{
		"by Close": func(conn *websocket.Conn) error { return conn.Close(4001, "mine") },
		"by a CloseMessage": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "mine"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
					conn.SetCloseHandler(func(code int, text string) error {
						assert.Equal(t, 1000, code)
						assert.Equal(t, "bye", text)
						return answer(conn)
					})
					return testws.Echo(conn, r)
				}))
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Send(wstest.Close(1000, "bye"))
				client.ExpectClose(4001, "mine")
				client.ExpectEnd()
				testws.AwaitEnd(t, u)
			})
		})
	}
}

func TestOnlyTheFirstCloseWritesAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		start := time.Now()
		var running sync.WaitGroup
		for range 10 {
			running.Go(func() {
				assert.NoError(t, conn.Close(4000, "one of them"))
				testws.AssertElapsed(t, start, 4*time.Second) // all calls wait for the first
			})
		}
		client.ExpectClose(4000, "one of them")
		time.Sleep(4 * time.Second)
		client.Send(wstest.Close(4000, ""))
		running.Wait()
		client.ExpectEnd()
		require.NoError(t, conn.Close(4001, "again"))
	})
}

func TestNoMessageIsDeliveredAfterOurCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, read := range map[string]func(conn *websocket.Conn) error{
			"whole": func(conn *websocket.Conn) error {
				_, _, err := conn.ReadMessage()
				return err
			},
			"streamed": func(conn *websocket.Conn) error {
				_, r, err := conn.NextReader()
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				return err
			},
			"joined": func(conn *websocket.Conn) error {
				_, err := io.Copy(io.Discard, websocket.JoinMessages(conn, ""))
				return err
			},
		} {
			client, conn := testws.RawPair(t, websocket.Options{})
			read1 := make(chan error, 1)
			go func() { read1 <- read(conn) }()
			half := wstest.Text("half a message").Bytes()
			client.SendBytes(half[:10])
			synctest.Wait()
			require.NoError(t, conn.WriteControl(websocket.CloseMessage, nil, time.Time{}))
			client.ExpectClose(1005, "")
			client.SendBytes(half[10:])
			client.Send(wstest.Text("another"), wstest.Close(1000, "done"))
			require.Equal(t, &websocket.CloseError{Code: 1000, Text: "done"}, <-read1, name)
		}
	})
}

func TestDrainedMessageDoesNotLookWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		client.Send(wstest.Frame{Opcode: wstest.OpText, Masked: true, Payload: []byte("begin")}, wstest.Text("")) // and a protocol violation, which no read of Serve sees
		_, r, err := conn.NextReader()
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(r, got)
		require.NoError(t, err)
		require.NoError(t, conn.Close(4000, "")) // reads and discards up to the violation
		rest, err := io.ReadAll(r)
		require.Error(t, err)
		assert.Empty(t, rest)
	})
}

func TestValidCloseCode(t *testing.T) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		assert.True(t, websocket.ValidCloseCode(code), code)
	}
}

func TestCloseCodesThatMayNotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		for _, code := range []int{-1, 0, 1, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65536 + 1000} {
			require.False(t, websocket.ValidCloseCode(code), code)
			require.ErrorContains(t, conn.Close(code, ""), "may not be sent", code)
			if code >= 0 && code != 65536+1000 {
				require.Error(t, conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, "")), code)
			}
		}
		for name, payload := range map[string][]byte{
			"one byte":  {3},
			"not UTF-8": websocket.FormatCloseMessage(1000, "\xff"),
			"too long":  websocket.FormatCloseMessage(1000, strings.Repeat("x", 124)),
		} {
			require.Error(t, conn.WriteControl(websocket.CloseMessage, payload, time.Time{}), name)
		}
		require.NoError(t, conn.Context().Err(), "nothing has happened")
		go func() {
			client.ExpectClose(1014, "")
			client.Send(wstest.Close(1014, ""))
		}()
		require.NoError(t, conn.Close(websocket.CloseBadGateway, ""))
	})
}

func TestEachCodeThatMayBeSentIsSent(t *testing.T) {
	codes := []int{1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}
	synctest.Test(t, func(t *testing.T) {
		for _, code := range codes {
			client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: -1})
			require.NoError(t, conn.Close(code, ""))
			client.ExpectClose(code, "")
			client.ExpectEnd()
		}
	})
}

func TestReasonIsCutBetweenCharacters(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"short":           {"bye", "bye"},
		"as long as fits": {strings.Repeat("x", 123), strings.Repeat("x", 123)},
		"a byte too long": {strings.Repeat("x", 124), strings.Repeat("x", 123)},
		"cut in a rune":   {strings.Repeat("x", 122) + "é", strings.Repeat("x", 122)},
		"of long runes":   {strings.Repeat("世", 100), strings.Repeat("世", 41)},
		"not UTF-8":       {"a\xffb", "a\ufffdb"},
		"all bad":         {strings.Repeat("\xff", 200), "\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: -1})
				require.NoError(t, conn.Close(4000, c.text))
				client.ExpectClose(4000, c.want)
			})
		})
	}
}

func TestCloseErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		goodbye    bool
		status     int
		disconnect bool
	}{
		"none":                  {nil, false, -1, false},
		"another":               {testws.ErrDatabase, false, -1, false},
		"normal":                {&websocket.CloseError{Code: 1000}, true, 1000, false},
		"going away":            {&websocket.CloseError{Code: 1001}, true, 1001, false},
		"no code":               {&websocket.CloseError{Code: 1005}, true, 1005, false},
		"wrapped":               {testws.Wrapped(&websocket.CloseError{Code: 1000}), true, 1000, false},
		"abnormal":              {testws.Wrapped(&websocket.CloseError{Code: 1006}), false, 1006, true},
		"protocol":              {&websocket.CloseError{Code: 1002}, false, 1002, false},
		"own code":              {websocket.NewCloseError(4000, ""), false, 4000, false},
		"peer is gone":          {testws.Wrapped(websocket.ErrPeerGone), false, -1, true},
		"closed by us":          {net.ErrClosed, false, -1, false},
		"an error of other I/O": {io.EOF, false, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.goodbye, websocket.IsCloseError(c.err))
			assert.Equal(t, c.status, websocket.CloseStatus(c.err))
			assert.Equal(t, c.disconnect, websocket.IsDisconnect(c.err))
		})
	}
	assert.True(t, websocket.IsUnexpectedCloseError(testws.Wrapped(&websocket.CloseError{Code: 1006}), 1000, 1001))
	assert.False(t, websocket.IsUnexpectedCloseError(testws.Wrapped(&websocket.CloseError{Code: 1000}), 1000, 1001))
	assert.False(t, websocket.IsUnexpectedCloseError(errors.New("x"), 1000))
}

// In TestAnswersAreNotOvertaken, Serve returns the moment its context ends, while another
// goroutine, in a read, is still answering the close frame.
func TestAnswersAreNotOvertaken(t *testing.T) {
	cases := map[string]struct {
		send wstest.Frame
		code int
	}{
		"the echo of a close frame": {wstest.Close(3000, "bye"), 3000},
		"the answer to a breach":    {wstest.Text("x").Unmasked(), 1002},
	}
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(context.Context) error { return testws.ReadLoop(testws.Returned)(conn, r) })
		<-r.Context().Done()
		return nil
	}))
	u.Logger = testws.Silent
	server := wstest.Serve(t, u)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for range 1000 {
				client := wstest.DialRaw(t, server, "/", nil)
				client.Send(c.send)
				got, err := client.Receive()
				require.NoError(t, err)
				require.Equal(t, c.code, got.CloseCode())
				_ = client.Close()
			}
		})
	}
}

func TestCloseNowSendsNothing(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(context.Context) error { return conn.CloseNow() })
		<-r.Context().Done()
		return nil
	}))
	u.Logger = testws.Silent
	server := wstest.Serve(t, u)
	for range 1000 {
		client := wstest.DialRaw(t, server, "/", nil)
		client.ExpectEnd()
		_ = client.Close()
	}
}

// In TestCloseFrameUnderWayIsNotCut, half of our close frame is written when an event closes the
// socket.
func TestCloseFrameUnderWayIsNotCut(t *testing.T) {
	for name, last := range map[string]wstest.Frame{
		"by the peer's": wstest.Close(1000, ""),
		"by a breach":   wstest.Text("").Unmasked(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				const header = 4                               // bytes, of a frame of this length
				for left := wstest.PipeBuffer - 1; left > 0; { // up to the last byte but one
					n := min(left, 1+wstest.PipeBuffer/2)
					require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, make([]byte, n-header)))
					left -= n
				}
				go func() { _, _, _ = conn.ReadMessage() }()
				closed := make(chan error, 1)
				go func() { closed <- conn.Close(3000, "bye") }()
				synctest.Wait()
				client.Send(last)
				time.Sleep(100 * time.Millisecond)
				var got wstest.Frame
				for got.Opcode != wstest.OpClose {
					var err error
					got, err = client.Receive()
					require.NoError(t, err)
				}
				assert.Equal(t, 3000, got.CloseCode())
				require.NoError(t, <-closed)
			})
		})
	}
}

func TestCloseMessageIsFollowedByTheCloseTimeout(t *testing.T) {
	payload := websocket.FormatCloseMessage(1000, "")
	for name, write := range map[string]func(conn *websocket.Conn) error{
		"written by the caller": func(conn *websocket.Conn) error { return conn.WriteMessage(websocket.CloseMessage, payload) },
		"written past us":       func(conn *websocket.Conn) error { return conn.Conn.WriteMessage(websocket.CloseMessage, payload) },
		"with a deadline passed": func(conn *websocket.Conn) error {
			return conn.WriteControl(websocket.CloseMessage, payload, time.Now().Add(time.Second))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				start := time.Now()
				require.NoError(t, write(conn))
				client.ExpectClose(1000, "")
				require.ErrorIs(t, testws.ReadLoop(testws.Returned)(conn, nil), net.ErrClosed)
				testws.AssertElapsed(t, start, 10*time.Second)
			})
		})
	}
}

// The close timeout bounds the write of a close frame, whatever WriteTimeout is.
func TestCloseMessageThatIsNotTaken(t *testing.T) {
	for name, closing := range map[string]func(conn *websocket.Conn) error{
		"WriteControl": func(conn *websocket.Conn) error {
			return conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
		},
		"WriteMessage": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				done := make(chan time.Duration, 1)
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					begun := time.Now()
					conn.Go(func(context.Context) error { // a read waits, so that the keep-alive can notice
						_, _, err := conn.ReadMessage()
						return err
					})
					if err := fillExactly(conn); err != nil {
						return err
					}
					err := closing(conn)
					done <- time.Since(begun)
					return err
				}))
				u.WriteTimeout = -1
				u.Logger = testws.Silent
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
				select {
				case d := <-done:
					assert.LessOrEqual(t, d, 40*time.Second)
				case <-time.After(24 * time.Hour):
					t.Error("a day later the controller still writes its close frame, and the peer is not declared gone")
				}
				_ = client.Close()
				testws.AwaitEnd(t, u)
			})
		})
	}
}
