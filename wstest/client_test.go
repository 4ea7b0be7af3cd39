package wstest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echo sends each message back; some messages are commands.
var echo = websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		switch string(message) {
		case "kick me":
			return websocket.NewCloseError(4000, "kicked")
		case "say nothing":
			continue
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
})

// failure runs a test function and returns the message of its failure, "" if it passes.
func failure(t *testing.T, test func(t testing.TB)) string {
	t.Helper()
	fake := &fakeT{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(fake)
	}()
	<-done
	return fake.message
}

// fakeT records a failure and does not fail the real test.
type fakeT struct {
	testing.TB
	message string
}

func (f *fakeT) Helper() {}

func (f *fakeT) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestEveryTargetCanBeDialed(t *testing.T) {
	handler := websocket.New(echo)
	mux := http.NewServeMux()
	mux.Handle("/echo", handler)
	tcp, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer tcp.Close()
	defer secure.Close()
	for name, target := range map[string]any{
		"a handler":                 mux,
		"a server in memory":        wstest.Serve(t, mux),
		"a server":                  tcp,
		"a server with TLS":         secure,
		"an http URL":               tcp.URL,
		"a ws URL":                  "ws" + strings.TrimPrefix(tcp.URL, "http"),
		"a URL with a slash behind": tcp.URL + "/",
	} {
		t.Run(name, func(t *testing.T) {
			client := wstest.Dial(t, target, "/echo?x=1", nil)
			assert.Equal(t, http.StatusSwitchingProtocols, client.Response.StatusCode)
			client.WriteText("hello")
			client.ExpectText("hello")
			client.WriteBinary([]byte{0, 1})
			client.ExpectBinary([]byte{0, 1})
			client.WriteText("dropped by Close")
			client.Close(websocket.CloseNormalClosure, "bye")

			raw := wstest.DialRaw(t, target, "echo", nil)
			raw.Send(wstest.Text("a"), wstest.Ping("b"))
			raw.Expect(wstest.Text("a"), wstest.Pong("b"))
			raw.Send(wstest.Close(3000, "bye"))
			raw.ExpectClose(3000, "")
			raw.ExpectEnd()
		})
	}
}

func TestOptions(t *testing.T) {
	var got *http.Request
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		got = r
		return conn.WriteMessage(websocket.TextMessage, []byte(conn.Subprotocol()))
	}))
	u.Settings.Subprotocols = []string{"b"}
	u.Settings.EnableCompression = true
	options := &wstest.Options{
		Header:       http.Header{"Origin": {"http://example.com"}, "Host": {"example.com"}},
		Subprotocols: []string{"a", "b"},
		Compression:  true,
	}
	client := wstest.Dial(t, u, "/", options)
	client.ExpectText("b")
	assert.Equal(t, "example.com", got.Host)
	assert.Contains(t, client.Response.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")

	raw := wstest.DialRaw(t, u, "/", options)
	assert.Equal(t, "b", raw.Response.Header.Get("Sec-Websocket-Protocol"))
	assert.Contains(t, raw.Response.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
}

func TestFailuresSayWhatCameInstead(t *testing.T) {
	for name, c := range map[string]struct {
		test func(t testing.TB)
		want string
	}{
		"refused": {func(t testing.TB) {
			wstest.Dial(t, http.NotFoundHandler(), "/chat", nil)
		}, `wstest: dial /chat: websocket: bad handshake: 404 Not Found: 404 page not found`},
		"refused, frame by frame": {func(t testing.TB) {
			wstest.DialRaw(t, http.NotFoundHandler(), "/chat", nil)
		}, `wstest: dial /chat: 404 Not Found: 404 page not found`},
		"not refused": {func(t testing.TB) {
			wstest.DialRefused(t, websocket.New(echo), "/chat", nil) //nolint:bodyclose // it fails
		}, `wstest: dial /chat: upgraded, want a refusal`},
		"no target": {func(t testing.TB) {
			wstest.Dial(t, 42, "/", nil)
		}, `wstest: can't dial a int: want an http.Handler, a *wstest.Server, a *httptest.Server or a URL`},
		"another text": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText("hello")
			client.ExpectText("goodbye")
		}, `wstest: got text "hello", want text "goodbye"`},
		"another type": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText("hello")
			client.ExpectBinary([]byte("hello"))
		}, `wstest: got text "hello", want binary "hello"`},
		"a long one": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText(strings.Repeat("x", 100))
			client.ExpectText("x")
		}, `wstest: got text "` + strings.Repeat("x", 64) + `"... (100 bytes), want text "x"`},
		"closed instead": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText("kick me")
			client.ExpectText("x")
		}, `wstest: got websocket: close 4000: kicked, want text "x"`},
		"another code": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText("kick me")
			client.ExpectClose(1000, "")
		}, `wstest: got websocket: close 4000: kicked, want close 1000 ""`},
		"a message before the close frame": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText("x")
			client.ExpectClose(1000, "")
		}, `wstest: got text "x", want close 1000 ""`},
		"another answer to a close frame": {func(t testing.TB) {
			client := wstest.Dial(t, websocket.New(echo), "/", nil)
			client.WriteText("kick me")
			client.Close(1000, "")
		}, `wstest: got websocket: close 4000: kicked in answer to close 1000, want the same code and no text`},
		"another frame": {func(t testing.TB) {
			client := wstest.DialRaw(t, websocket.New(echo), "/", nil)
			client.Send(wstest.Text("x"))
			client.ExpectClose(1000, "bye")
		}, `wstest: got text fin "x", want close 1000 "bye"`},
		"no end": {func(t testing.TB) {
			client := wstest.DialRaw(t, websocket.New(echo), "/", nil)
			client.Send(wstest.Text("x"))
			client.ExpectEnd()
		}, `wstest: got byte 0x81, want the end of the connection`},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, failure(t, c.test))
		})
	}
}

func TestExpectationsAreBounded(t *testing.T) {
	for name, expect := range map[string]func(t testing.TB, u http.Handler){
		"a message": func(t testing.TB, u http.Handler) {
			wstest.Dial(t, u, "/", nil).ExpectText("x")
		},
		"a frame": func(t testing.TB, u http.Handler) {
			wstest.DialRaw(t, u, "/", nil).Expect(wstest.Text("x"))
		},
		"the end": func(t testing.TB, u http.Handler) {
			wstest.DialRaw(t, u, "/", nil).ExpectEnd()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				assert.NotEmpty(t, failure(t, func(t testing.TB) { expect(t, websocket.New(echo)) }))
				assert.Equal(t, 20*time.Second, time.Since(start))
			})
		})
	}
}

func TestPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := wstest.Pair(t, websocket.Options{CloseTimeout: 3 * time.Second})
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
		client.ExpectText("hello")
		client.WriteText("hi")
		_, message, err := conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "hi", string(message))

		start := time.Now()
		require.NoError(t, conn.Close(4000, "bye"))
		assert.Zero(t, time.Since(start), "the client answers by itself")
		client.ExpectClose(4000, "bye")
	})
}
