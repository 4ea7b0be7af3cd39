package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plainGorilla echoes without this library.
func plainGorilla(compress bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := ws.Upgrader{EnableCompression: compress}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for {
			messageType, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if err := conn.WriteMessage(messageType, message); err != nil {
				return
			}
		}
	})
}

func TestDial(t *testing.T) {
	type server struct {
		name string
		make func(compress bool) http.Handler
	}
	for _, s := range []server{
		{name: "a server of ours", make: func(compress bool) http.Handler {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.Settings.EnableCompression = compress
			u.Logger = testws.Silent
			return u
		}},
		{name: "gorilla's server", make: plainGorilla},
	} {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compression %t", s.name, compress), func(t *testing.T) {
				testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
					u, options := testws.Target(serve(s.make(compress)), "/")
					options.EnableCompression = compress
					conn, response, err := websocket.Dial(t.Context(), u, &options)
					require.NoError(t, err)
					defer func() { _ = conn.CloseNow() }()
					assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
					assert.Equal(t, compress, response.Header.Get("Sec-WebSocket-Extensions") != "")
					body, err := io.ReadAll(response.Body)
					require.NoError(t, err)
					assert.Empty(t, body)
					converse(t, conn)
					require.NoError(t, conn.Close(websocket.CloseNormalClosure, "bye"))
				})
			})
		}
	}
}

// converse exchanges messages of all kinds with a server that echoes.
func converse(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	expect := func(messageType int, want []byte) {
		t.Helper()
		gotType, got, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, messageType, gotType)
		require.True(t, bytes.Equal(want, got), "%d bytes came back as %d others", len(want), len(got))
	}
	for _, size := range []int{0, 1, 125, 126, 4096, 4097, 0xffff, 0x10000, 1 << 20} {
		message := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), size/37+1)[:size]
		sent := bytes.Clone(message)
		for _, messageType := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			require.NoError(t, conn.WriteMessage(messageType, sent))
			require.Equal(t, message, sent, "the caller's slice is left as it is")
			expect(messageType, message)
		}

		w, err := conn.NextWriter(websocket.BinaryMessage)
		require.NoError(t, err)
		_, err = io.Copy(w, bytes.NewReader(message))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		messageType, r, err := conn.NextReader()
		require.NoError(t, err)
		require.Equal(t, websocket.BinaryMessage, messageType)
		streamed, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(message, streamed))

		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, message)
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, conn.WritePreparedMessage(prepared))
			expect(websocket.TextMessage, message)
		}
	}
	require.NoError(t, conn.WriteJSON(map[string]int{"answer": 42}))
	var v map[string]int
	require.NoError(t, conn.ReadJSON(&v))
	require.Equal(t, map[string]int{"answer": 42}, v)

	ponged := ""
	conn.SetPongHandler(func(data string) error { ponged = data; return nil })
	require.NoError(t, conn.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Time{}))
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("?")))
	expect(websocket.TextMessage, []byte("?"))
	require.Equal(t, "are you there?", ponged)
}

// Each frame of a client is masked with its own key, including those that gorilla makes.
func TestDialedFrames(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		frames := make(chan wstest.Frame)
		keys := map[string]bool{}
		conn := testws.Dial(t, serve(testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			defer close(frames)
			_, _ = io.WriteString(conn, testws.Switching(r))
			for {
				var read bytes.Buffer
				f, err := wstest.ReadFrame(io.TeeReader(rw, &read))
				if err != nil {
					return
				}
				header := read.Bytes()[:read.Len()-len(f.Payload)]
				if f.Masked {
					keys[string(header[len(header)-4:])] = true
				}
				frames <- f
			}
		})), nil)
		var sent []wstest.Frame
		send := func(write func() error, want ...wstest.Frame) {
			t.Helper()
			failed := make(chan error, 1)
			go func() { failed <- write() }()
			for _, w := range want {
				require.Equal(t, w, <-frames)
			}
			require.NoError(t, <-failed)
			sent = append(sent, want...)
		}
		long := strings.Repeat("x", 70_000)
		send(func() error { return conn.WriteMessage(websocket.TextMessage, []byte("hello")) }, wstest.Text("hello"))
		send(func() error { return conn.WriteMessage(websocket.TextMessage, []byte("hello")) }, wstest.Text("hello"))
		send(func() error { return conn.WriteMessage(websocket.BinaryMessage, nil) }, wstest.Binary(nil))
		send(func() error { return conn.WriteMessage(websocket.TextMessage, []byte(long)) }, wstest.Text(long))
		send(func() error { return conn.WriteMessage(websocket.PingMessage, []byte("ping")) }, wstest.Ping("ping"))
		send(func() error { return conn.Conn.WriteControl(websocket.PongMessage, []byte("g"), time.Time{}) }, wstest.Pong("g"))
		inTwo := []wstest.Frame{ // as the buffer of a writer is
			{Opcode: wstest.OpText, Masked: true, Payload: []byte(long[:4096])},
			{Fin: true, Masked: true, Payload: []byte(long[4096:5000])},
		}
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(long[:5000]))
		require.NoError(t, err)
		for range 3 {
			send(func() error { return conn.WritePreparedMessage(prepared) }, wstest.Text(long[:5000]))
		}
		send(func() error {
			w, err := conn.NextWriter(websocket.TextMessage)
			require.NoError(t, err)
			_, err = io.WriteString(w, long[:5000])
			require.NoError(t, err)
			return w.Close()
		}, inTwo...)
		// Code with access to the embedded connection writes a close frame itself.
		goodbye := ws.FormatCloseMessage(4000, "good bye")
		send(func() error { return conn.Conn.WriteControl(ws.CloseMessage, goodbye, time.Time{}) }, wstest.Close(4000, "good bye"))
		require.Equal(t, 4000, websocket.CloseStatus(context.Cause(conn.Context())))
		require.NoError(t, conn.CloseNow())
		_, more := <-frames
		require.False(t, more)
		require.Len(t, keys, len(sent), "each frame has a key of its own")
	})
}

func TestDialedCloses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(conn *websocket.Conn) error
		close wstest.Frame
	}{
		{name: "with a code and a text", end: func(c *websocket.Conn) error { return c.Close(4001, "enough") }, close: wstest.Close(4001, "enough")},
		{name: "without a code", end: func(c *websocket.Conn) error { return c.Close(1005, "") }, close: wstest.Close(1005, "")},
		{name: "normally", end: (*websocket.Conn).CloseNormal, close: wstest.Close(1000, websocket.NormalClosureMessage)},
		{name: "with an error", end: func(c *websocket.Conn) error { return c.CloseWithError(io.ErrNoProgress) }, close: wstest.Close(1011, "Internal Server Error")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				got := make(chan wstest.Frame, 1)
				conn := testws.Dial(t, serve(testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
					_, _ = io.WriteString(conn, testws.Switching(r))
					f, err := wstest.ReadFrame(rw)
					assert.NoError(t, err)
					_, _ = conn.Write(wstest.Close(f.CloseCode(), "").Unmasked().Bytes())
					_, _ = io.Copy(io.Discard, rw)
					got <- f
				})), nil)
				require.NoError(t, tt.end(conn))
				require.Equal(t, tt.close, <-got)
				require.ErrorIs(t, conn.WriteMessage(websocket.TextMessage, nil), websocket.ErrCloseSent)
				require.Error(t, conn.Context().Err())
			})
		})
	}
}

func TestServerCloses(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error {
			return websocket.NewCloseError(4002, "go away")
		}))
		conn := testws.Dial(t, serve(u), nil)
		_, _, err := conn.ReadMessage()
		var ce *websocket.CloseError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, websocket.CloseError{Code: 4002, Text: "go away"}, *ce)
		require.Same(t, ce, context.Cause(conn.Context()))
		testws.AwaitEnd(t, u)
		require.NoError(t, conn.Close(1000, ""))
	})
}

// The client answers the server's pings and close frame.
func TestDialedAnswers(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		pinged := make(chan string, 1)
		done := make(chan struct{})
		conn := testws.Dial(t, serve(testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			defer close(done)
			_, _ = io.WriteString(conn, testws.Switching(r))
			for _, tt := range []struct{ sent, want wstest.Frame }{
				{sent: wstest.Ping("are you there?"), want: wstest.Pong("are you there?")},
				{sent: wstest.Close(4002, "go away"), want: wstest.Close(4002, "")},
			} {
				_, _ = conn.Write(tt.sent.Unmasked().Bytes())
				f, err := wstest.ReadFrame(rw)
				assert.NoError(t, err)
				assert.Equal(t, tt.want, f)
			}
			_, err := rw.ReadByte()
			assert.ErrorIs(t, err, io.EOF)
		})), nil)
		conn.SetPingHandler(func(data string) error { pinged <- data; return nil })
		_, _, err := conn.ReadMessage()
		require.Equal(t, 4002, websocket.CloseStatus(err))
		require.Equal(t, "are you there?", <-pinged)
		<-done
	})
}

// The client waits exactly for the close timeout.
func TestServerThatNeverAnswersClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := testws.Dial(t, wstest.Serve(t, testws.Says()), func(o *websocket.DialOptions) { o.CloseTimeout = 7 * time.Second })
		begun := time.Now()
		require.NoError(t, conn.Close(1000, ""))
		require.Equal(t, 7*time.Second, time.Since(begun))
	})
}

func TestDialedStream(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		conn := testws.Dial(t, serve(websocket.New(websocket.ControllerFunc(testws.Echo))), nil)
		stream := websocket.Stream(t.Context(), conn, websocket.BinaryMessage)
		sent := bytes.Repeat([]byte("a stream of bytes "), 5000)
		var writing sync.WaitGroup
		writing.Go(func() {
			_, err := stream.Write(sent)
			assert.NoError(t, err)
		})
		received := make([]byte, len(sent))
		_, err := io.ReadFull(stream, received)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, received))
		writing.Wait()
		require.NoError(t, stream.Close())
	})
}

// The server answers none of the client's pings.
func TestServerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := testws.Dial(t, wstest.Serve(t, testws.Says()), func(o *websocket.DialOptions) {
			o.PingInterval, o.PongTimeout = time.Minute, 10*time.Second
		})
		begun := time.Now()
		_, _, err := conn.ReadMessage()
		require.ErrorIs(t, err, websocket.ErrPeerGone)
		require.Equal(t, 70*time.Second, time.Since(begun))
	})
}

func TestDialedConcurrentWriters(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		conn := testws.Dial(t, serve(websocket.New(websocket.ControllerFunc(testws.Echo))), nil)
		const writers, each = 8, 20
		var running sync.WaitGroup
		for i := range writers {
			running.Go(func() {
				message := bytes.Repeat([]byte{byte('a' + i)}, 3000)
				for j := range each {
					if j%5 == 0 {
						assert.NoError(t, conn.WriteControl(websocket.PingMessage, message[:10], time.Time{}))
					}
					assert.NoError(t, conn.WriteMessage(websocket.BinaryMessage, message))
				}
			})
		}
		for range writers * each {
			_, message, err := conn.ReadMessage()
			require.NoError(t, err)
			require.Len(t, message, 3000)
			require.Empty(t, bytes.Trim(message, string(message[0])))
		}
		running.Wait()
		require.NoError(t, conn.Close(1000, ""))
	})
}

// Protocol violations of a server are answered like those of a client.
func TestBreachesOfServers(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent wstest.Frame
		want wstest.Frame
	}{
		{name: "a masked message", sent: wstest.Text("secret"), want: wstest.Close(1002, "frame is masked")},
		{name: "a masked close frame", sent: wstest.Close(1000, ""), want: wstest.Close(1002, "frame is masked")},
		{
			name: "a compressed message, without compression",
			sent: testws.Deflated("hello").Unmasked(),
			want: wstest.Close(1002, "RSV1 is set, but no extension was agreed on"),
		},
		{name: "a message that is too long", sent: wstest.Binary(make([]byte, 1001)).Unmasked(), want: wstest.Close(1009, "message too big")},
		{name: "a close code that may not be sent", sent: wstest.Close(1006, "").Unmasked(), want: wstest.Close(1002, "close code 1006")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				answer := make(chan wstest.Frame, 1)
				conn := testws.Dial(t, serve(testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
					_, _ = io.WriteString(conn, testws.Switching(r))
					_, _ = conn.Write(tt.sent.Bytes())
					f, err := wstest.ReadFrame(rw)
					assert.NoError(t, err)
					answer <- f
				})), func(o *websocket.DialOptions) { o.MaxMessageSize = 1000 })
				_, _, err := conn.ReadMessage()
				require.Error(t, err)
				require.Equal(t, tt.want.CloseCode() == 1009, errors.Is(err, websocket.ErrReadLimit))
				require.Equal(t, tt.want, <-answer)
			})
		})
	}
}

func TestDialCompression(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	const offered = agreed + "; client_max_window_bits"
	for _, tt := range []struct {
		name       string
		extensions string
		compressed bool
		refused    bool
	}{
		{name: "declined"},
		{name: "agreed", extensions: agreed, compressed: true},
		{name: "agreed, without the hint about ourselves", extensions: "permessage-deflate;server_no_context_takeover", compressed: true},
		{name: "with a smaller window of the server's", extensions: agreed + "; server_max_window_bits=10", compressed: true},
		{name: "with the largest window of the server's", extensions: agreed + "; server_max_window_bits=15", compressed: true},
		{name: "with a window of the server's in quotes", extensions: agreed + `; server_max_window_bits="10"`, compressed: true},
		{name: "with a window that there is not", extensions: agreed + "; server_max_window_bits=99", refused: true},
		{name: "with a window that is no number", extensions: agreed + "; server_max_window_bits=ten", refused: true},
		{name: "with a window without a value", extensions: agreed + "; server_max_window_bits", refused: true},
		{name: "with two windows", extensions: agreed + "; server_max_window_bits=10; server_max_window_bits=11", refused: true},
		{name: "with a flag twice", extensions: agreed + "; server_no_context_takeover", refused: true},
		{name: "with a flag that has a value", extensions: "permessage-deflate; server_no_context_takeover=5", refused: true},
		{name: "with another flag that has a value", extensions: "permessage-deflate; server_no_context_takeover; client_no_context_takeover=false", refused: true},
		{name: "with a smaller window of ours", extensions: agreed + "; client_max_window_bits=10", compressed: true},
		{name: "with the largest window of ours", extensions: agreed + "; client_max_window_bits=15", compressed: true},
		{name: "with smaller windows of both", extensions: agreed + "; client_max_window_bits=8; server_max_window_bits=9", compressed: true},
		{name: "with a window of ours that there is not", extensions: agreed + "; client_max_window_bits=16", refused: true},
		{name: "as it was offered", extensions: offered, refused: true},
		{name: "with a context that is kept", extensions: "permessage-deflate; client_no_context_takeover", refused: true},
		{name: "without any parameter", extensions: "permessage-deflate", refused: true},
		{name: "another kind", extensions: "x-webkit-deflate-frame; server_no_context_takeover", refused: true},
		{name: "and one more", extensions: agreed + ", x-telepathy", refused: true},
		{name: "and one more, behind a value", extensions: agreed + "; server_max_window_bits=10, x-telepathy", refused: true},
		{name: "twice", extensions: agreed + "\r\nSec-WebSocket-Extensions: " + agreed, refused: true},
		{name: "an empty header", extensions: " "},
		{name: "among empty elements", extensions: ", " + agreed + ",,", compressed: true},
		{name: "with a window in quotes, and a backslash", extensions: agreed + `; server_max_window_bits="1\0"`, compressed: true},
		{name: "malformed, at the end", extensions: agreed + ";", refused: true},
		{name: "malformed, behind", extensions: agreed + ", ;", refused: true},
		{name: "with a window whose quotes do not end", extensions: agreed + `; server_max_window_bits="10`, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := make(chan wstest.Frame, 1)
			server := wstest.Serve(t, testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
				assert.Equal(t, offered, r.Header.Get("Sec-WebSocket-Extensions"))
				answer := testws.Switching(r)
				if tt.extensions != "" {
					answer = testws.Switching(r, "Sec-WebSocket-Extensions: "+tt.extensions)
				}
				_, _ = io.WriteString(conn, answer)
				if tt.refused {
					return
				}
				if tt.compressed {
					_, _ = conn.Write(testws.Deflated("hello").Unmasked().Bytes())
				} else {
					_, _ = conn.Write(wstest.Text("hello").Unmasked().Bytes())
				}
				f, err := wstest.ReadFrame(rw)
				assert.NoError(t, err)
				first <- f
			}))
			u, options := testws.Target(server, "/")
			options.EnableCompression = true
			conn, response, err := websocket.Dial(t.Context(), u, &options)
			require.NotNil(t, response)
			if tt.refused {
				require.ErrorIs(t, err, websocket.ErrBadHandshake)
				return
			}
			require.NoError(t, err)
			defer func() { _ = conn.CloseNow() }()
			_, message, err := conn.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "hello", string(message))
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 1000)))
			f := <-first
			require.True(t, f.Masked)
			require.Equal(t, tt.compressed, f.RSV == 4)
			require.Equal(t, tt.compressed, len(f.Payload) < 100)
		})
	}
}

func TestDialRequest(t *testing.T) {
	for _, tt := range []struct {
		name    string
		url     string
		options websocket.DialOptions
		host    string
		uri     string
		headers http.Header // that the request has, among others
	}{
		{name: "nothing but a host", url: "ws://example.com", host: "example.com", uri: "/"},
		{name: "a port", url: "http://example.com:8080/", host: "example.com:8080", uri: "/"},
		{name: "the default port", url: "ws://example.com:80/", host: "example.com", uri: "/"},
		{name: "the default port of http", url: "http://example.com:80", host: "example.com", uri: "/"},
		{name: "the default port of another scheme", url: "ws://example.com:443/", host: "example.com:443", uri: "/"},
		{name: "an empty port", url: "ws://example.com:/", host: "example.com", uri: "/"},
		{name: "a port that ends like the default", url: "ws://example.com:8080/", host: "example.com:8080", uri: "/"},
		{name: "an IPv6 address with the default port", url: "ws://[::80]:80/", host: "[::80]", uri: "/"},
		{name: "an IPv6 address with an empty port", url: "ws://[::1]:/", host: "[::1]", uri: "/"},
		{name: "an IPv6 address that ends like the default port", url: "ws://[2001:db8::80]/", host: "[2001:db8::80]", uri: "/"},
		{name: "an IPv6 address with a zone", url: "ws://[fe80::1%25eth0]:80/", host: "[fe80::1]", uri: "/"},
		{name: "another Host with the default port, as it is", url: "ws://127.0.0.1/", options: websocket.DialOptions{Host: "app.test:80"}, host: "app.test:80", uri: "/"},
		{name: "a path and a query", url: "ws://example.com/a%20b/c?d=e&f=%2F", host: "example.com", uri: "/a%20b/c?d=e&f=%2F"},
		{name: "an IPv6 address", url: "ws://[::1]:8080/", host: "[::1]:8080", uri: "/"},
		{name: "another Host", url: "ws://127.0.0.1/", options: websocket.DialOptions{Host: "app.test"}, host: "app.test", uri: "/"},
		{name: "another Host in the header", url: "ws://127.0.0.1/", options: websocket.DialOptions{Header: http.Header{"host": {"app.test"}}}, host: "app.test", uri: "/"},
		{
			name: "both: the field wins", url: "ws://127.0.0.1/",
			options: websocket.DialOptions{Host: "app.test", Header: http.Header{"Host": {"other.test"}}},
			host:    "app.test", uri: "/",
		},
		{name: "another Host with a port", url: "ws://127.0.0.1/", options: websocket.DialOptions{Host: "[::1]:8080"}, host: "[::1]:8080", uri: "/"},
		{name: "another Host that is not ASCII", url: "ws://127.0.0.1/", options: websocket.DialOptions{Host: "bücher.test"}, host: "xn--bcher-kva.test", uri: "/"},
		{
			name: "headers", url: "ws://example.com/",
			options: websocket.DialOptions{Header: http.Header{"origin": {"https://example.com"}, "Cookie": {"a=1", "b=2"}, "Authorization": {"Bearer x"}}},
			host:    "example.com", uri: "/",
			headers: http.Header{"Origin": {"https://example.com"}, "Cookie": {"a=1", "b=2"}, "Authorization": {"Bearer x"}},
		},
		{
			name: "subprotocols", url: "ws://example.com/",
			options: websocket.DialOptions{Subprotocols: []string{"chat.v2", "chat.v1"}},
			host:    "example.com", uri: "/", headers: http.Header{"Sec-Websocket-Protocol": {"chat.v2, chat.v1"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := make(chan *http.Request, 1)
			u := websocket.New(websocket.ControllerFunc(func(_ *websocket.Conn, r *http.Request) error {
				asked <- r
				return nil
			}))
			u.Settings.Subprotocols = []string{"chat.v1"}
			server := wstest.Serve(t, u)
			tt.options.DialContext = server.DialContext
			before := len(tt.options.Header)
			conn, _, err := websocket.Dial(t.Context(), tt.url, &tt.options)
			require.NoError(t, err)
			defer func() { _ = conn.CloseNow() }()
			r := <-asked
			assert.Equal(t, tt.host, r.Host)
			assert.Equal(t, tt.uri, r.RequestURI)
			for name, values := range tt.headers {
				assert.Equal(t, values, r.Header[name])
			}
			assert.Empty(t, r.Header["Accept-Encoding"])
			assert.Len(t, tt.options.Header, before, "the caller's header is left as it is")
			if tt.options.Subprotocols != nil {
				assert.Equal(t, "chat.v1", conn.Subprotocol())
			}
		})
	}
}

func TestDialMakesNoSense(t *testing.T) {
	for _, tt := range []struct {
		name    string
		url     string
		options websocket.DialOptions
		mention string
	}{
		{name: "another scheme", url: "ftp://example.com/", mention: `"ftp"`},
		{name: "no scheme", url: "example.com/ws", mention: "scheme"},
		{name: "no host", url: "ws:///ws", mention: "host"},
		{name: "a port without a host", url: "ws://:8080/ws", mention: "host"},
		{name: "a user", url: "ws://ada:secret@example.com/", mention: "Authorization"},
		{name: "a fragment", url: "ws://example.com/#top", mention: "fragment"},
		{name: "no URL", url: "ws://secret\x7f", mention: "invalid control character"},
		{name: "a key", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"Sec-WebSocket-Key": {"x"}}}, mention: "Sec-Websocket-Key"},
		{name: "extensions", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"sec-websocket-extensions": {"x"}}}, mention: "Sec-Websocket-Extensions"},
		{name: "an upgrade", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"Upgrade": {"h2c"}}}, mention: "Upgrade"},
		{name: "a connection option", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"Connection": {"close"}}}, mention: "Connection"},
		{name: "a subprotocol with a space", url: "ws://example.com/", options: websocket.DialOptions{Subprotocols: []string{"chat", "chat v2"}}, mention: `"chat v2"`},
		{name: "a subprotocol with a comma", url: "ws://example.com/", options: websocket.DialOptions{Subprotocols: []string{"a,b"}}, mention: `"a,b"`},
		{name: "a subprotocol with a line break", url: "ws://example.com/", options: websocket.DialOptions{Subprotocols: []string{"a\r\nX: y"}}, mention: "no token"},
		{name: "an empty subprotocol", url: "ws://example.com/", options: websocket.DialOptions{Subprotocols: []string{""}}, mention: `""`},
		{name: "a subprotocol twice", url: "ws://example.com/", options: websocket.DialOptions{Subprotocols: []string{"a", "b", "a"}}, mention: `"a" is listed twice`},
		{name: "a name of a header that is none", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"X A": {"b"}}}, mention: `"X A"`},
		{name: "two lines in a header", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"X-A": {"b\r\nc: d"}}}, mention: "X-A"},
		{name: "a Host with a path", url: "ws://example.com/", options: websocket.DialOptions{Host: "app.test/ws"}, mention: `"app.test/ws"`},
		{name: "a Host with a header behind it", url: "ws://example.com/", options: websocket.DialOptions{Host: "app.test\r\nX-Injected: yes"}, mention: "Host"},
		{name: "a Host with a space, in the header", url: "ws://example.com/", options: websocket.DialOptions{Header: http.Header{"Host": {"app test"}}}, mention: `"app test"`},
		{name: "a host with a quotation mark", url: `ws://exa"mple.com/`, mention: "Host"},
		{name: "a setting", url: "ws://example.com/", options: websocket.DialOptions{CompressionLevel: 10}, mention: "CompressionLevel"},
		{
			name: "a proxy that can't be told", url: "ws://example.com/",
			options: websocket.DialOptions{Proxy: func(*http.Request) (*url.URL, error) { return nil, testws.ErrDatabase }},
			mention: testws.ErrDatabase.Error(),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.DialContext = func(context.Context, string, string) (net.Conn, error) {
				t.Error("dialed")
				return nil, io.EOF
			}
			conn, response, err := websocket.Dial(t.Context(), tt.url, &tt.options)
			require.ErrorContains(t, err, tt.mention)
			require.NotContains(t, err.Error(), "secret")
			require.Nil(t, conn)
			require.Nil(t, response)
		})
	}
}

// The connection's context has the values of Dial's context, but does not end with it.
func TestDialedContext(t *testing.T) {
	type key struct{}
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo)))
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	conn, _, err := websocket.Dial(ctx, "ws://wstest/", &websocket.DialOptions{DialContext: server.DialContext})
	require.NoError(t, err)
	defer func() { _ = conn.CloseNow() }()
	cancel()
	require.Equal(t, "value", conn.Context().Value(key{}))
	found, ok := websocket.FromContext(conn.Context())
	require.True(t, ok)
	require.Same(t, conn, found)
	require.NoError(t, conn.Context().Err())
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("still here")))
	_, message, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "still here", string(message))

	returned := make(chan error, 1)
	conn.Go(func(ctx context.Context) error {
		<-ctx.Done()
		returned <- context.Cause(ctx)
		return nil
	})
	require.NoError(t, conn.Close(4000, "enough"))
	require.Equal(t, 4000, websocket.CloseStatus(<-returned))
}

// A function started with Conn.Go fails.
func TestDialedGo(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		conn := testws.Dial(t, serve(websocket.New(websocket.ControllerFunc(testws.Echo))), nil)
		conn.Go(func(context.Context) error { return testws.ErrDatabase })
		_, _, err := conn.ReadMessage()
		require.ErrorIs(t, err, testws.ErrDatabase)
		require.ErrorIs(t, context.Cause(conn.Context()), testws.ErrDatabase)
		require.NoError(t, conn.Close(1000, ""))
	})
}

// The frames of a message that is written in parts have the size from DialOptions.
func TestDialWriteBufferSize(t *testing.T) {
	lengths := make(chan int, 1)
	server := wstest.Serve(t, testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
		_, _ = io.WriteString(conn, testws.Switching(r))
		header := make([]byte, 4)
		_, err := io.ReadFull(rw, header)
		assert.NoError(t, err)
		assert.EqualValues(t, websocket.BinaryMessage, header[0], "the first of several frames")
		assert.EqualValues(t, 0x80|126, header[1], "masked, with a length of two bytes")
		lengths <- int(binary.BigEndian.Uint16(header[2:]))
		_, _ = io.Copy(io.Discard, rw)
	}))
	conn := testws.Dial(t, server, func(o *websocket.DialOptions) { o.ReadBufferSize, o.WriteBufferSize = 512, 1000 })
	w, err := conn.NextWriter(websocket.BinaryMessage)
	require.NoError(t, err)
	for range 101 {
		_, err = w.Write(make([]byte, 10))
		require.NoError(t, err)
	}
	require.Equal(t, 1000, <-lengths)
}
