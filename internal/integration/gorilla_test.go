package integration_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
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

func TestControlMessagesByEveryWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		w, err := conn.NextWriter(websocket.PingMessage)
		require.NoError(t, err)
		_, err = io.WriteString(w, strings.Repeat("x", 125))
		require.NoError(t, err)
		_, err = io.WriteString(w, "x")
		require.Error(t, err)
		require.NoError(t, conn.WriteMessage(websocket.PongMessage, []byte("unasked")), "in between")
		require.NoError(t, w.Close())
		require.Error(t, w.Close())
		client.Expect(wstest.Pong("unasked"), wstest.Ping(strings.Repeat("x", 125)))

		require.Error(t, conn.WriteMessage(websocket.PingMessage, make([]byte, 126)))
		require.Error(t, conn.WriteMessage(0, nil))
		require.Error(t, conn.WriteMessage(3, nil))
		require.Error(t, conn.WriteControl(websocket.TextMessage, nil, time.Time{}))
		_, err = conn.NextWriter(11)
		require.Error(t, err)
		require.Error(t, conn.SetCompressionLevel(10))
		require.Error(t, conn.SetCompressionLevel(-3))

		w, err = conn.NextWriter(websocket.CloseMessage)
		require.NoError(t, err)
		_, err = w.Write(websocket.FormatCloseMessage(4000, "bye"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		client.ExpectClose(4000, "bye")
	})
}

func TestHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		require.NoError(t, conn.PingHandler()("harmless"))
		require.NoError(t, conn.PongHandler()("harmless"))
		require.NoError(t, conn.CloseHandler()(1000, "harmless"))
		go func() { _ = testws.ReadLoop(testws.Returned)(conn, nil) }()

		// The caller's ping handler runs, and the ping is answered.
		pings := make(chan string, 10)
		conn.SetPingHandler(func(data string) error { pings <- data; return nil })
		client.Send(wstest.Ping("1"))
		client.Expect(wstest.Pong("1"))
		assert.Equal(t, "1", <-pings)

		// Chaining does not recurse.
		previous := conn.PingHandler()
		conn.SetPingHandler(func(data string) error { pings <- "chained"; return previous(data) })
		client.Send(wstest.Ping("2"))
		client.Expect(wstest.Pong("2"))
		assert.Equal(t, "chained", <-pings)
		assert.Equal(t, "2", <-pings)

		// A pong of the handler's own is the only one; another pong is not an answer.
		conn.SetPingHandler(func(data string) error {
			return conn.WriteControl(websocket.PongMessage, []byte(data), time.Time{})
		})
		client.Send(wstest.Ping("3"))
		client.Expect(wstest.Pong("3"))
		conn.SetPingHandler(func(string) error {
			return conn.WriteControl(websocket.PongMessage, []byte("other"), time.Time{})
		})
		client.Send(wstest.Ping("4"))
		client.Expect(wstest.Pong("other"), wstest.Pong("4"))

		conn.SetPingHandler(nil)
		client.Send(wstest.Ping("5"))
		client.Expect(wstest.Pong("5"))

		pongs := make(chan string, 1)
		conn.SetPongHandler(func(data string) error { pongs <- data; return nil })
		client.Send(wstest.Pong("6"))
		assert.Equal(t, "6", <-pongs)
		conn.SetPongHandler(nil)

		closes := make(chan int, 1)
		conn.SetCloseHandler(func(code int, _ string) error { closes <- code; return nil })
		client.Send(wstest.Close(0, ""))
		client.ExpectClose(1005, "")
		assert.Equal(t, 1005, <-closes)
	})
}

func TestErrorOfTheCloseHandlerIsTheReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		conn.SetCloseHandler(func(int, string) error { return testws.ErrDatabase })
		client.Send(wstest.Close(3000, ""))
		_, _, err := conn.ReadMessage()
		require.Equal(t, testws.ErrDatabase, err)
		client.ExpectClose(3000, "")
		client.ExpectEnd()
	})
}

func TestGorillasPingWithADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		write := testws.Fill(conn)
		start := time.Now()
		require.Error(t, conn.Conn.WriteControl(websocket.PingMessage, nil, start.Add(time.Second)))
		testws.AssertElapsed(t, start, time.Second)
		_, err := client.Receive()
		require.NoError(t, err)
		require.NoError(t, <-write)
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, nil))
	})
}

func TestInvalidCloseMessagesByGorillasWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		bad := websocket.FormatCloseMessage(1006, "")
		_, err := websocket.NewPreparedMessage(websocket.CloseMessage, bad)
		require.ErrorContains(t, err, "invalid close message")
		require.ErrorContains(t, conn.Conn.WriteMessage(websocket.CloseMessage, bad), "invalid close message")
		require.NoError(t, conn.Context().Err())
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, nil))
		client.Expect(wstest.Text(""))
	})
}

func TestPeerThatHangsUpIsCode1006ForGorillasHelpers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		client.SendBytes(wstest.Text("hello").Bytes()[:4])
		_ = client.Close()
		_, _, err := conn.ReadMessage()
		require.Equal(t, &websocket.CloseError{Code: 1006, Text: "unexpected EOF"}, err)
		require.True(t, websocket.IsDisconnect(err))
	})
}

func TestCodeWrittenForGorilla(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		gorilla := conn.Conn
		var code int
		gorilla.SetCloseHandler(func(c int, _ string) error { code = c; return nil })
		gorilla.SetReadLimit(1 << 20)
		for {
			messageType, message, err := gorilla.ReadMessage()
			if err != nil {
				assert.Equal(t, 4000, code, "its close handler runs")
				return err
			}
			if err := gorilla.WriteMessage(messageType, message); err != nil {
				return err
			}
		}
	}))
	client := wstest.Dial(t, u, "/", nil)
	for _, size := range []int{0, 100, 10_000, 1_000_000} {
		message := strings.Repeat("x", size)
		client.WriteText(message)
		client.ExpectText(message)
	}
	client.Close(4000, "bye")
	testws.AwaitEnd(t, u)
}

func TestHandlerThatPanicsLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		conn.SetPingHandler(func(string) error { panic("x") })
		ctx, cancel := context.WithCancel(t.Context())
		client.Send(wstest.Ping(""))
		require.Panics(t, func() { _, _, _ = conn.ReadMessageContext(ctx) })
		conn.SetPingHandler(nil)
		read := make(chan error, 1)
		go func() { _, _, err := conn.ReadMessage(); read <- err }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		client.Send(wstest.Ping("y"), wstest.Text("x"))
		require.NoError(t, <-read)
		client.Expect(wstest.Pong("y"))
	})
}

func TestHandlerOfTheEmbeddedConnection(t *testing.T) {
	t.Run("that fails is no corrupt data", func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			conn.Conn.SetPingHandler(func(string) error { return testws.ErrDatabase })
			return testws.ReadLoop(testws.Returned)(conn, r)
		}))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", nil)
		client.Send(testws.Part(wstest.OpText, false, "a"), wstest.Ping(""))
		client.ExpectClose(1011, "Internal Server Error")
	})
	t.Run("whose error is io.EOF ends no message", func(t *testing.T) {
		for name, read := range map[string]func(*websocket.Conn) error{
			"ours":      func(conn *websocket.Conn) error { _, _, err := conn.ReadMessage(); return err },
			"gorilla's": func(conn *websocket.Conn) error { _, _, err := conn.Conn.ReadMessage(); return err },
		} {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				conn.Conn.SetPingHandler(func(string) error { return io.EOF })
				client.Send(testws.Part(wstest.OpText, false, "a"), wstest.Ping(""))
				err := read(conn)
				require.ErrorIs(t, err, io.EOF, name)
				require.NotEqual(t, io.EOF, err, name)
			})
		}
	})
	t.Run("does not recurse when it is ours", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			conn.SetPingHandler(conn.Conn.PingHandler())
			conn.SetPongHandler(conn.Conn.PongHandler())
			conn.SetCloseHandler(conn.Conn.CloseHandler())
			client.Send(wstest.Ping("x"), wstest.Pong("y"), wstest.Close(3000, ""))
			require.Equal(t, 3000, websocket.CloseStatus(testws.ReadLoop(testws.Returned)(conn, nil)))
			client.Expect(wstest.Pong("x"), wstest.Close(3000, ""))
		})
	})
}

func TestErrorOfAHandlerIsNoCorruptData(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		conn.SetPingHandler(func(string) error { return io.ErrUnexpectedEOF })
		return testws.ReadLoop(testws.Returned)(conn, r)
	}))
	u.Logger = testws.Silent
	client := wstest.DialRaw(t, u, "/", nil)
	client.Send(testws.Part(wstest.OpText, false, "a"), wstest.Ping(""))
	client.ExpectClose(1011, "Internal Server Error")
}

// The application may read a part of a compressed message by the embedded connection, and then the
// next message by the Conn. What gorilla has of the first one stays what the peer sent.
func TestNextMessageWhileGorillaHasPartOfACompressedOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	message := make([]byte, 20_000)
	for i := range message {
		message[i] = byte('a' + random.IntN(16))
	}
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		_, r, err := conn.Conn.NextReader()
		if !assert.NoError(t, err) {
			return err
		}
		got := make([]byte, 10)
		_, err = io.ReadFull(r, got)
		assert.NoError(t, err)
		for range 2 {
			_, next, err := conn.ReadMessage()
			assert.NoError(t, err)
			assert.Equal(t, strings.Repeat("next", 1000), string(next))
		}
		rest, err := io.ReadAll(r)
		assert.NoError(t, err)
		got = append(got, rest...)
		assert.Greater(t, len(got), 100)
		assert.True(t, bytes.HasPrefix(message, got))
		return nil
	}))
	u.Settings.EnableCompression = true
	client := wstest.DialRaw(t, u, "/", &wstest.Options{Compression: true})
	client.Send(testws.Deflated(string(message)))
	client.Send(testws.Deflated(strings.Repeat("next", 1000)), testws.Deflated(strings.Repeat("next", 1000)))
	client.ExpectClose(1000, "Server closed connection")
}

// Gorilla writes nothing after an error. So the connection ends if that is within a message: no other
// message can be written.
func TestGorillasControlFrameFailsWithinItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := testws.RawPair(t, websocket.Options{})
		w, err := conn.Conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		_, err = io.WriteString(w, strings.Repeat("x", 20_000))
		require.NoError(t, err)
		bad := websocket.FormatCloseMessage(999, "")
		require.ErrorContains(t, conn.Conn.WriteControl(websocket.CloseMessage, bad, time.Time{}), "invalid close message")
		start := time.Now()
		require.Error(t, conn.WriteMessage(websocket.TextMessage, nil))
		testws.AssertElapsed(t, start, 0)
		require.Error(t, conn.Context().Err())
		require.Error(t, w.Close())
	})
}
