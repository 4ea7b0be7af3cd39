package websocket_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBreaches(t *testing.T) {
	const protocol, tooBig, notUTF8 = 1002, 1009, 1007
	header := func(f wstest.Frame, length uint64) []byte { return f.AppendHeader(nil, length) }
	start := testws.Part(wstest.OpText, false, "a")
	cases := []struct {
		name   string
		before []wstest.Frame
		send   []byte
		code   int
		reason string
	}{
		{name: "RSV1 without an extension", send: wstest.Frame{Fin: true, RSV: 4, Opcode: 1, Masked: true}.Bytes(), code: protocol, reason: "RSV1"},
		{name: "RSV2", send: wstest.Frame{Fin: true, RSV: 2, Opcode: 1, Masked: true}.Bytes(), code: protocol, reason: "RSV2"},
		{name: "RSV3", send: wstest.Frame{Fin: true, RSV: 1, Opcode: 1, Masked: true}.Bytes(), code: protocol, reason: "RSV3"},
		{name: "RSV1 on a ping", send: wstest.Frame{Fin: true, RSV: 4, Opcode: 9, Masked: true}.Bytes(), code: protocol, reason: "RSV1"},
		{name: "RSV2 on a close frame", send: wstest.Frame{Fin: true, RSV: 2, Opcode: 8, Masked: true}.Bytes(), code: protocol, reason: "RSV2"},
		{name: "opcode 3", send: testws.Part(3, true, "").Bytes(), code: protocol, reason: "reserved opcode"},
		{name: "opcode 7", send: testws.Part(7, true, "").Bytes(), code: protocol, reason: "reserved opcode"},
		{name: "opcode 11", send: testws.Part(11, true, "").Bytes(), code: protocol, reason: "reserved opcode"},
		{name: "opcode 15", send: testws.Part(15, true, "").Bytes(), code: protocol, reason: "reserved opcode"},
		{name: "an unmasked text frame", send: wstest.Text("x").Unmasked().Bytes(), code: protocol, reason: "not masked"},
		{name: "an unmasked close frame", send: wstest.Close(1000, "").Unmasked().Bytes(), code: protocol, reason: "not masked"},
		{name: "a fragmented ping", send: testws.Part(wstest.OpPing, false, "x").Bytes(), code: protocol, reason: "fragmented"},
		{name: "a fragmented close frame", send: testws.Part(wstest.OpClose, false, "").Bytes(), code: protocol, reason: "fragmented"},
		{name: "a ping of 126 bytes", send: wstest.Ping(strings.Repeat("x", 126)).Bytes(), code: protocol, reason: "125"},
		{name: "a ping of one byte, its length in the form of 16 bits", send: []byte{0x89, 0xfe, 0, 1, 0, 0, 0, 0, 'x'}, code: protocol, reason: "125"},
		{name: "a close frame of two bytes, its length in the form of 64 bits", send: []byte{0x88, 0xff, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0xe8}, code: protocol, reason: "125"},
		{name: "a pong that announces 64 KiB", send: header(wstest.Pong(""), 65536), code: protocol, reason: "125"},
		{name: "a close frame of 126 bytes", send: wstest.Close(1000, strings.Repeat("x", 124)).Bytes(), code: protocol, reason: "125"},
		{name: "a close frame of one byte", send: testws.Part(wstest.OpClose, true, "\x03").Bytes(), code: protocol, reason: "one byte"},
		{name: "close code 0", send: testws.Part(wstest.OpClose, true, "\x00\x00").Bytes(), code: protocol, reason: "close code 0"},
		{name: "close code 999", send: wstest.Close(999, "").Bytes(), code: protocol, reason: "close code 999"},
		{name: "close code 1004", send: wstest.Close(1004, "").Bytes(), code: protocol, reason: "close code 1004"},
		{name: "close code 1005 on the wire", send: testws.Part(wstest.OpClose, true, "\x03\xed").Bytes(), code: protocol, reason: "close code 1005"},
		{name: "close code 1006", send: wstest.Close(1006, "").Bytes(), code: protocol, reason: "close code 1006"},
		{name: "close code 1015", send: wstest.Close(1015, "").Bytes(), code: protocol, reason: "close code 1015"},
		{name: "close code 2000", send: wstest.Close(2000, "").Bytes(), code: protocol, reason: "close code 2000"},
		{name: "close code 5000", send: wstest.Close(5000, "").Bytes(), code: protocol, reason: "close code 5000"},
		{name: "a close reason that is not UTF-8", send: wstest.Close(1000, "\xce\xba\xe1\xbd").Bytes(), code: notUTF8, reason: "not UTF-8"},
		{name: "a continuation of nothing", send: testws.Part(0, true, "x").Bytes(), code: protocol, reason: "continuation"},
		{name: "a continuation after the end", before: []wstest.Frame{start, testws.Part(0, true, "b")}, send: testws.Part(0, true, "x").Bytes(), code: protocol, reason: "continuation"},
		{name: "a message inside a fragmented one", before: []wstest.Frame{start}, send: wstest.Text("x").Bytes(), code: protocol, reason: "inside"},
		{name: "a message inside a fragmented one, after a ping", before: []wstest.Frame{start, wstest.Ping("x")}, send: wstest.Binary(nil).Bytes(), code: protocol, reason: "inside"},
		{name: "a length with the top bit set", send: header(wstest.Text(""), 1<<63), code: tooBig, reason: "too big"},
		{name: "all bits of the length set", send: header(wstest.Text(""), 1<<64-1), code: tooBig, reason: "too big"},
		{name: "fragments whose sum has the top bit set", before: []wstest.Frame{start}, send: header(testws.Part(0, false, ""), 1<<63-1), code: tooBig, reason: "too big"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ctrl := &testws.Controller{ServeFunc: testws.ReadLoop(testws.Returned)}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				for _, f := range c.before {
					client.Send(f)
				}
				for _, b := range c.send { // the violation is noticed at the earliest byte
					if _, err := client.Write([]byte{b}); err != nil {
						break
					}
				}
				var got wstest.Frame
				for got.Opcode != wstest.OpClose {
					var err error
					got, err = client.Receive()
					require.NoError(t, err)
				}
				assert.Equal(t, c.code, got.CloseCode())
				assert.Contains(t, got.CloseReason(), c.reason)
				testws.HalfClose(client)
				client.ExpectEnd()
				_ = client.Close()
				testws.AwaitEnd(t, u)

				require.Len(t, ctrl.Told.All(), 1)
				err := ctrl.Told.All()[0]
				require.ErrorContains(t, err, c.reason)
				assert.Equal(t, c.code == tooBig, errors.Is(err, websocket.ErrReadLimit))
				assert.Equal(t, -1, websocket.CloseStatus(err), "the peer sent no close frame")
				assert.False(t, websocket.IsDisconnect(err))
			})
		})
	}
}

func TestMessagesOfAllSizesInSingleBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		for _, size := range []int{0, 1, 125, 126, 127, 4095, 4096, 4097, 65535, 65536} {
			message := strings.Repeat("x", size)
			go func() {
				for _, b := range wstest.Text(message).Bytes() {
					client.SendBytes([]byte{b})
				}
			}()
			messageType, got, err := conn.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, websocket.TextMessage, messageType)
			require.Equal(t, message, string(got))
		}
	})
}

func TestFragmentsWithControlFramesBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		client.Send(testws.Part(wstest.OpBinary, false, "a"), wstest.Ping("1"), testws.Part(0, false, ""), wstest.Pong("unasked"), wstest.Ping(""), testws.Part(0, true, "b"), wstest.Text("next"))
		messageType, got, err := conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, websocket.BinaryMessage, messageType)
		assert.Equal(t, "ab", string(got))
		client.Expect(wstest.Pong("1"), wstest.Pong(""))
		_, got, err = conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "next", string(got))
	})
}

func TestReadErrorsAreFinal(t *testing.T) {
	for name, c := range map[string]struct {
		end func(client *wstest.Raw, conn *websocket.Conn)
		is  error
	}{
		"close frame":     {end: func(client *wstest.Raw, _ *websocket.Conn) { client.Send(wstest.Close(1000, "")) }},
		"end of stream":   {end: func(client *wstest.Raw, _ *websocket.Conn) { _ = client.Close() }},
		"reset":           {end: func(client *wstest.Raw, _ *websocket.Conn) { wstest.Reset(client.Conn) }},
		"breach":          {end: func(client *wstest.Raw, _ *websocket.Conn) { client.Send(testws.Part(3, true, "")) }},
		"deadline":        {end: func(_ *wstest.Raw, conn *websocket.Conn) { _ = conn.SetReadDeadline(time.Now().Add(time.Second)) }, is: os.ErrDeadlineExceeded},
		"passed deadline": {end: func(_ *wstest.Raw, conn *websocket.Conn) { _ = conn.SetReadDeadline(time.Now().Add(-time.Second)) }, is: os.ErrDeadlineExceeded},
		"CloseNow":        {end: func(_ *wstest.Raw, conn *websocket.Conn) { _ = conn.CloseNow() }, is: net.ErrClosed},
		"handler": {end: func(client *wstest.Raw, conn *websocket.Conn) {
			conn.SetPongHandler(func(string) error { return io.EOF })
			client.Send(wstest.Pong(""), wstest.Text("not read any more"))
		}, is: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				c.end(client, conn)
				messageType, _, first := conn.ReadMessage()
				require.Error(t, first)
				assert.Equal(t, -1, messageType)
				if c.is != nil {
					require.ErrorIs(t, first, c.is)
				}
				_ = conn.SetReadDeadline(time.Time{})
				for range 2000 { // gorilla panics at the thousandth
					_, _, err := conn.ReadMessage()
					require.True(t, first == err, "%v, then %v", first, err) //nolint:errorlint,testifylint // the same error
				}
				_, _, err := conn.NextReader()
				require.Equal(t, first, err)
				require.Equal(t, first, conn.ReadJSON(nil))
				_, err = websocket.JoinMessages(conn, "").Read(make([]byte, 1))
				require.Equal(t, first, err)
			})
		})
	}
}

func TestTimeoutIsANetError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		start := time.Now()
		require.NoError(t, conn.SetReadDeadline(start.Add(3*time.Second)))
		_, _, err := conn.ReadMessage()
		testws.AssertElapsed(t, start, 3*time.Second)
		timeout, ok := err.(net.Error) //nolint:errorlint // as applications of gorilla ask
		require.True(t, ok)
		assert.True(t, timeout.Timeout())
		assert.False(t, websocket.IsDisconnect(err))
		assert.NoError(t, conn.Context().Err())

		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("writes go on")))
		client.Expect(wstest.Text("writes go on"))
	})
}

func TestReadDeadlineMovesWhileAReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := testws.RawPair(t, websocket.Options{})
		start := time.Now()
		require.NoError(t, conn.SetReadDeadline(start.Add(time.Second)))
		time.AfterFunc(500*time.Millisecond, func() { _ = conn.SetReadDeadline(start.Add(2 * time.Second)) })
		_, _, err := conn.ReadMessage()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		testws.AssertElapsed(t, start, 2*time.Second)
	})
}

func TestReadContext(t *testing.T) {
	cause := errors.New("enough of this")
	t.Run("that ends while the read waits ends the connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, cause)
			defer cancel()
			start := time.Now()
			_, _, err := conn.ReadMessageContext(ctx)
			testws.AssertElapsed(t, start, 3*time.Second)
			require.ErrorIs(t, err, cause)
			require.ErrorIs(t, context.Cause(conn.Context()), cause)
			_, _, again := conn.ReadMessage()
			require.Equal(t, err, again)
			go func() {
				client.ExpectClose(1011, "")
				client.Send(wstest.Close(1011, ""))
			}()
			require.NoError(t, conn.Close(1011, ""))
		})
	})
	t.Run("that ended before is not the connection's fault", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(cause)
			_, _, err := conn.ReadMessageContext(ctx)
			require.ErrorIs(t, err, cause)
			client.Send(wstest.Text("x"))
			_, _, err = conn.ReadMessage()
			require.NoError(t, err)
		})
	})
	t.Run("that ends after the read means nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			client.Send(wstest.Text("1"), wstest.Text("2"))
			ctx, cancel := context.WithCancel(t.Context())
			_, _, err := conn.ReadMessageContext(ctx)
			require.NoError(t, err)
			cancel()
			_, _, err = conn.ReadMessage()
			require.NoError(t, err)
			require.NoError(t, conn.Context().Err())
		})
	})
	t.Run("bounds the reader too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			client.SendBytes(wstest.Text("hello").Bytes()[:8])
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, r, err := conn.NextReaderContext(ctx)
			require.NoError(t, err)
			start := time.Now()
			_, err = io.ReadAll(r)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			testws.AssertElapsed(t, start, time.Second)
			_, err = r.Read(make([]byte, 1))
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	t.Run("bounds ReadJSON", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, conn.ReadJSONContext(ctx, nil), context.DeadlineExceeded)
		})
	})
}

func TestReadLimit(t *testing.T) {
	compressed := &wstest.Options{Compression: true}
	cases := []struct {
		name   string
		frames []wstest.Frame
		fits   bool
	}{
		{name: "a message of the limit", frames: []wstest.Frame{wstest.Text("12345678")}, fits: true},
		{name: "a message over it", frames: []wstest.Frame{wstest.Text("123456789")}},
		{name: "fragments of the limit", frames: []wstest.Frame{testws.Part(1, false, "1234"), testws.Part(0, true, "5678")}, fits: true},
		{name: "fragments over it", frames: []wstest.Frame{testws.Part(1, false, "1234"), testws.Part(0, true, "56789")}},
		{name: "control frames do not count", frames: []wstest.Frame{testws.Part(1, false, "1234"), wstest.Ping("12345678"), testws.Part(0, true, "5678")}, fits: true},
		{name: "a compressed message of the limit", frames: []wstest.Frame{testws.Deflated("12345678")}, fits: true},
		{name: "a compressed message that inflates over it", frames: []wstest.Frame{testws.Deflated(strings.Repeat("x", 1000))}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
				conn.SetReadLimit(8)
				return testws.Echo(conn, r)
			}}
			u := websocket.New(ctrl)
			u.Settings.EnableCompression = true
			client := wstest.DialRaw(t, u, "/", compressed)
			client.Send(c.frames...)
			client.Send(wstest.Close(1000, ""))
			for {
				got, err := client.Receive()
				require.NoError(t, err)
				if got.Opcode != wstest.OpClose {
					continue
				}
				if c.fits {
					assert.Equal(t, 1000, got.CloseCode())
				} else {
					assert.Equal(t, 1009, got.CloseCode())
				}
				break
			}
			_ = client.Close()
			testws.AwaitEnd(t, u)
			if c.fits {
				assert.Empty(t, ctrl.Told.All())
			} else {
				require.ErrorIs(t, ctrl.Told.All()[0], websocket.ErrReadLimit)
			}
		})
	}
}

func TestMaxMessageSize(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		option int64
		size   int
		fits   bool
	}{
		"the default is 1 MiB":       {option: 0, size: mib, fits: true},
		"and no byte more":           {option: 0, size: mib + 1},
		"another size":               {option: 10, size: 10, fits: true},
		"more than that":             {option: 10, size: 11},
		"off":                        {option: -1, size: 3 * mib, fits: true},
		"a bomb of three MiB":        {option: 0, size: -3 * mib},
		"compressed, to the default": {option: 0, size: -mib, fits: true},
	} {
		t.Run(name, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.MaxMessageSize = c.option
			u.Settings.EnableCompression = true
			u.Logger = testws.Silent
			client := wstest.DialRaw(t, u, "/", &wstest.Options{Compression: true})
			if c.size < 0 {
				client.Send(testws.Deflated(strings.Repeat("x", -c.size)))
			} else {
				go func() { _, _ = client.Write(wstest.Binary(make([]byte, c.size)).Bytes()) }()
			}
			got, err := client.Receive()
			require.NoError(t, err)
			assert.Equal(t, c.fits, got.Opcode != wstest.OpClose)
			if !c.fits {
				assert.Equal(t, 1009, got.CloseCode())
			}
		})
	}
}

func TestCorruptCompressedDataIs1007(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(testws.Echo))
	u.Logger = testws.Silent
	u.Settings.EnableCompression = true
	client := wstest.DialRaw(t, u, "/", &wstest.Options{Compression: true})
	client.Send(wstest.Frame{Fin: true, RSV: 4, Opcode: wstest.OpText, Masked: true, Payload: []byte("\xff\xff\xff")})
	client.ExpectClose(1007, "corrupt compressed data")
	client.ExpectEnd()
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		client.Send(wstest.Text(`{"a":1}`), wstest.Text(`{`), wstest.Text(``), wstest.Text(`{"a":2}`))
		var v struct{ A int }
		require.NoError(t, conn.ReadJSON(&v))
		assert.Equal(t, 1, v.A)
		require.ErrorIs(t, conn.ReadJSON(&v), io.ErrUnexpectedEOF)
		require.ErrorIs(t, conn.ReadJSON(&v), io.ErrUnexpectedEOF)
		require.NoError(t, conn.ReadJSON(&v), "bad JSON is not the end of the connection")
		assert.Equal(t, 2, v.A)

		require.Error(t, conn.WriteJSON(func() {}))
		require.NoError(t, conn.WriteJSON(v))
		client.Expect(wstest.Text("{\"A\":2}\n")) // and nothing of what could not be encoded
	})
}

func TestJoinMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		client.Send(wstest.Text("a"), testws.Part(wstest.OpText, false, "b"), testws.Part(0, true, "c"), wstest.Text(""), wstest.Close(1000, ""))
		got, err := io.ReadAll(websocket.JoinMessages(conn, "\n"))
		require.Equal(t, 1000, websocket.CloseStatus(err))
		assert.Equal(t, "a\nbc\n\n", string(got))
	})
}

func TestStaleReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		client.Send(wstest.Text("first"), wstest.Text("second"))
		_, first, err := conn.NextReader()
		require.NoError(t, err)
		_, second, err := conn.NextReader()
		require.NoError(t, err)
		_, err = first.Read(make([]byte, 5))
		require.ErrorContains(t, err, "earlier message", "it must not look whole")
		got, err := io.ReadAll(second)
		require.NoError(t, err)
		assert.Equal(t, "second", string(got))
		n, err := second.Read(make([]byte, 5))
		assert.Zero(t, n)
		assert.Equal(t, io.EOF, err)
	})
}

func TestUnfinishedMessagesDoNotLookWhole(t *testing.T) {
	final := func(message string) []byte { // a final DEFLATE block
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestSpeed)
		require.NoError(t, err)
		_, _ = w.Write([]byte(message))
		require.NoError(t, w.Close())
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		send wstest.Frame
		read func(conn *websocket.Conn) error
	}{
		"compressed data that ends early": {
			send: wstest.Frame{RSV: 4, Opcode: wstest.OpText, Masked: true, Payload: final("half")},
			read: func(conn *websocket.Conn) error { _, _, err := conn.ReadMessage(); return err },
		},
		"JSON that could be all": {
			send: testws.Part(wstest.OpText, false, `{"amount":1}`),
			read: func(conn *websocket.Conn) error { var v any; return conn.ReadJSON(&v) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			read := make(chan error, 1)
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				err := c.read(conn)
				read <- err
				return err
			}))
			u.Settings.EnableCompression = true
			u.Logger = testws.Silent
			client := wstest.DialRaw(t, u, "/", &wstest.Options{Compression: true})
			client.Send(c.send)
			_ = client.Close()
			require.Error(t, <-read)
		})
	}
}

func TestNothingIsReadAfterCloseNow(t *testing.T) {
	client, conn := testws.RawPair(t, websocket.Options{})
	client.Send(wstest.Text("one"), wstest.Text("two"))
	_, _, err := conn.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, conn.CloseNow())
	_, _, err = conn.ReadMessage()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestFailureOfAFunctionIsNotLostToAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		conn.SetPingHandler(func(string) error { // called by the read that ctx bounds
			cancel()
			synctest.Wait()
			conn.Go(func(context.Context) error { return testws.ErrDatabase })
			synctest.Wait()
			return nil
		})
		client.Send(wstest.Ping(""), wstest.Text("one"))
		_, _, err := conn.NextReaderContext(ctx)
		require.NoError(t, err, "it was there already")
		_, _, err = conn.ReadMessage()
		require.ErrorIs(t, err, testws.ErrDatabase)
	})
}

func TestContextThatEndsBetweenTwoReadsOfAMessage(t *testing.T) {
	client, conn := testws.RawPair(t, websocket.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	client.Send(wstest.Text("hello"), wstest.Text("next"))
	_, r, err := conn.NextReaderContext(ctx)
	require.NoError(t, err)
	var b [2]byte
	_, err = r.Read(b[:])
	require.NoError(t, err)
	cancel()
	_, err = r.Read(b[:])
	require.ErrorIs(t, err, context.Canceled)
	_, _, again := conn.ReadMessage()
	require.Equal(t, err, again)
	require.Error(t, conn.Context().Err())
}

// All bytes of a message that have arrived are returned by one Read, for a stream that forwards
// them as well as for a decoder.
func TestStreamedMessageIsNotSplit(t *testing.T) {
	for _, size := range []int{1, 27, 1000} {
		client, conn := testws.RawPair(t, websocket.Options{})
		message := strings.Repeat("x", size)
		client.Send(wstest.Text(message), testws.Part(wstest.OpText, false, message), testws.Part(wstest.OpContinuation, true, message))
		for range 2 {
			_, r, err := conn.NextReader()
			require.NoError(t, err)
			var b [8192]byte
			n, err := r.Read(b[:])
			require.NoError(t, err)
			assert.Equal(t, message, string(b[:n]))
		}
	}
}

// timedOut is a connection whose reads fail like a read of TCP when the peer no longer answers
// probes.
type timedOut struct {
	net.Conn
	fail <-chan struct{}
}

func (c timedOut) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.fail:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}
	default:
		return n, err
	}
}

type timedOutListener struct {
	net.Listener
	fail <-chan struct{}
}

func (l timedOutListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return timedOut{conn, l.fail}, err
}

func TestTimeoutOfTheNetworkIsADisconnect(t *testing.T) {
	ctrl := &testws.Controller{ServeFunc: testws.Echo}
	u := websocket.New(ctrl)
	fail := make(chan struct{})
	server := httptest.NewUnstartedServer(u)
	server.Listener = timedOutListener{server.Listener, fail}
	server.Start()
	defer server.Close()
	client := wstest.DialRaw(t, server, "/", nil)
	client.Send(wstest.Text("x"))
	client.Expect(wstest.Text("x"))
	close(fail)
	client.Send(wstest.Text("wakes the read"))
	client.ExpectEnd()
	testws.AwaitEnd(t, u)
	require.Len(t, ctrl.Told.All(), 1)
	assert.True(t, websocket.IsDisconnect(ctrl.Told.All()[0]))
}

// A context may end between two steps of one read, for example at a ping that a fragmented message
// follows. That is final, too.
func TestContextThatEndsWithinARead(t *testing.T) {
	for name, read := range map[string]func(ctx context.Context, conn *websocket.Conn) error{
		"ReadMessageContext": func(ctx context.Context, conn *websocket.Conn) error {
			_, _, err := conn.ReadMessageContext(ctx)
			return err
		},
		"ReadSliceContext": func(ctx context.Context, conn *websocket.Conn) error {
			_, _, err := conn.ReadSliceContext(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			mine := errors.New("mine")
			got := make(chan error, 2)
			client := wstest.DialRaw(t, websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				ctx, cancel := context.WithCancelCause(context.Background())
				conn.SetPingHandler(func(string) error {
					cancel(mine)
					return nil
				})
				got <- read(ctx, conn)
				got <- read(context.Background(), conn)
				return nil
			})), "/", nil)
			client.Send(wstest.Ping("now"), testws.Part(wstest.OpText, false, "frag"), testws.Part(wstest.OpContinuation, true, "ment"))
			require.ErrorIs(t, <-got, mine)
			require.ErrorIs(t, <-got, mine)
		})
	}
}

// failingWriter fails after some bytes.
type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

// If a message is copied to a writer that fails, the message is skipped and the connection goes
// on.
func TestCopyOfAMessageToAWriterThatFails(t *testing.T) {
	for name, tc := range map[string]struct{ err, want error }{
		"an error":       {io.ErrNoProgress, io.ErrNoProgress},
		"a short write":  {nil, io.ErrShortWrite},
		"an early close": {io.EOF, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				client.Send(testws.Part(wstest.OpText, false, "fir"), testws.Part(wstest.OpContinuation, true, "st"), wstest.Text("second"), wstest.Text("third"))
				_, r, err := conn.NextReader()
				require.NoError(t, err)
				n, err := io.Copy(&failingWriter{left: 2, err: tc.err}, r)
				assert.EqualValues(t, 2, n)
				require.Equal(t, tc.want, err)
				_, p, err := conn.ReadMessage()
				require.NoError(t, err)
				assert.Equal(t, "second", string(p))
				_, err = io.Copy(io.Discard, r)
				require.ErrorContains(t, err, "earlier message")
				_, r, err = conn.NextReader()
				require.NoError(t, err)
				var b strings.Builder
				_, err = io.Copy(&b, r)
				require.NoError(t, err)
				assert.Equal(t, "third", b.String())
				n, err = io.Copy(&b, r)
				require.NoError(t, err)
				assert.Zero(t, n)
			})
		})
	}
}

// A function of the connection ends it with an error that is io.EOF, in the middle of a message. That
// is no end of the message, to no way of reading it.
func TestFailureThatIsEOF(t *testing.T) {
	for name, read := range map[string]func(conn *websocket.Conn) error{
		"ReadMessage":  func(conn *websocket.Conn) error { _, _, err := conn.ReadMessage(); return err },
		"ReadSlice":    func(conn *websocket.Conn) error { _, _, err := conn.ReadSlice(); return err },
		"ReadJSON":     func(conn *websocket.Conn) error { return conn.ReadJSON(new(any)) },
		"JoinMessages": func(conn *websocket.Conn) error { _, err := io.ReadAll(websocket.JoinMessages(conn, "")); return err },
		"NextReader": func(conn *websocket.Conn) error {
			_, r, err := conn.NextReader()
			if err == nil {
				_, err = io.ReadAll(r)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				client.Send(testws.Part(websocket.TextMessage, false, " "))
				conn.Go(func(context.Context) error {
					synctest.Wait() // for the read
					return io.EOF
				})
				err := read(conn)
				require.ErrorIs(t, err, io.EOF)
				_, _, later := conn.ReadMessage()
				require.Equal(t, later, err, "it is the error of the connection")
			})
		})
	}
}
