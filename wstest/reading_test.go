package wstest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A test may be idle for an hour, like a user between two clicks.
func TestPingsAreAnsweredWhileATestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wstest.Dial(t, websocket.New(echo), "/", nil)
		time.Sleep(time.Hour)
		client.WriteText("still here")
		client.ExpectText("still here")
	})
}

func TestPingsAreAnsweredOverTCP(t *testing.T) {
	roundTrips := make(chan error, 1)
	server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		ctx := conn.CloseRead(r.Context())
		_, err := conn.Ping(ctx)
		roundTrips <- err
		return err
	})))
	defer server.Close()
	client := wstest.Dial(t, server, "/", nil)
	require.NoError(t, <-roundTrips)
	client.ExpectClose(websocket.CloseNormalClosure, "Server closed connection")
}

func TestExpectNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := wstest.Pair(t, websocket.Options{})
		start := time.Now()
		client.ExpectNothing(0)
		client.ExpectNothing(time.Minute)
		assert.Equal(t, time.Minute, time.Since(start))

		time.AfterFunc(time.Second, func() { _ = conn.WriteMessage(websocket.TextMessage, []byte("news")) })
		client.ExpectNothing(time.Second - 1)
		assert.Equal(t, `wstest: got text "news", want nothing`, failureOf(t, client, func(client *wstest.Client) { client.ExpectNothing(time.Minute) }))
		assert.Equal(t, time.Minute+time.Second, time.Since(start))

		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("more")))
		synctest.Wait()
		assert.Equal(t, `wstest: got text "more", want nothing`, failureOf(t, client, func(client *wstest.Client) { client.ExpectNothing(0) }))

		go func() { _ = conn.Close(4000, "bye") }()
		synctest.Wait()
		assert.Equal(t, `wstest: got websocket: close 4000: bye, want nothing`, failureOf(t, client, func(client *wstest.Client) { client.ExpectNothing(0) }))
		client.ExpectClose(4000, "bye") // the close frame is not lost
	})
}

// failureOf returns the failure message of a client's expectation.
func failureOf(t *testing.T, client *wstest.Client, expect func(*wstest.Client)) string {
	t.Helper()
	return failure(t, func(tb testing.TB) {
		wstest.SetT(client, tb)
		defer wstest.SetT(client, t)
		expect(client)
	})
}

func TestExpectJSON(t *testing.T) {
	type event struct {
		Type string   `json:"type"`
		Here []string `json:"here"`
	}
	const message = `{"here": ["Ada"], "type": "joined"}` + "\n"
	client := wstest.Dial(t, websocket.New(echo), "/", nil)
	for name, tt := range map[string]struct {
		sent string
		want any
		says string
	}{
		"a struct":               {sent: message, want: event{Type: "joined", Here: []string{"Ada"}}},
		"a map":                  {sent: message, want: map[string]any{"type": "joined", "here": []string{"Ada"}}},
		"JSON written by hand":   {sent: message, want: json.RawMessage(`{"type":"joined","here":["Ada"]}`)},
		"a string":               {sent: `"Ada"`, want: "Ada"},
		"null":                   {sent: `null`, want: nil},
		"a large number":         {sent: `9007199254740993`, want: int64(9007199254740993)},
		"another large number":   {sent: `9007199254740993`, want: int64(9007199254740992), says: `wstest: got text "9007199254740993", want JSON 9007199254740992`},
		"another value":          {sent: message, want: event{Type: "left"}, says: `wstest: got text "{\"here\": [\"Ada\"], \"type\": \"joined\"}\n", want JSON {"type":"left","here":null}`},
		"a key more":             {sent: `{"a":1,"b":2}`, want: map[string]int{"a": 1}, says: `wstest: got text "{\"a\":1,\"b\":2}", want JSON {"a":1}`},
		"no JSON":                {sent: `hello`, want: "hello", says: `wstest: got text "hello", want JSON "hello"`},
		"something behind it":    {sent: `1 2`, want: 1, says: `wstest: got text "1 2", want JSON 1`},
		"what can't be encoded":  {sent: `1`, want: func() {}, says: `wstest: the JSON that is wanted: json: unsupported type: func()`},
		"an end of what is sent": {sent: "kick me", want: 1, says: `wstest: got websocket: close 4000: kicked, want JSON 1`},
	} {
		t.Run(name, func(t *testing.T) {
			client := client
			if tt.sent == "kick me" {
				client = wstest.Dial(t, websocket.New(echo), "/", nil)
			}
			client.WriteText(tt.sent)
			assert.Equal(t, tt.says, failureOf(t, client, func(client *wstest.Client) { client.ExpectJSON(tt.want) }))
			if name == "what can't be encoded" {
				client.ExpectText(tt.sent)
			}
		})
	}
	client.WriteBinary([]byte(`1`))
	assert.Equal(t, `wstest: got binary "1", want JSON 1`, failureOf(t, client, func(client *wstest.Client) { client.ExpectJSON(1) }))
}

func TestReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := wstest.Pair(t, websocket.Options{})
		assert.Empty(t, client.Received())
		for _, text := range []string{"one", "two", "three"} {
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(text)))
		}
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, []byte{4}))
		synctest.Wait()
		client.ExpectText("one")
		got := client.Received()
		assert.Equal(t, []wstest.Message{
			{Type: websocket.TextMessage, Data: []byte("two")},
			{Type: websocket.TextMessage, Data: []byte("three")},
			{Type: websocket.BinaryMessage, Data: []byte{4}},
		}, got)
		assert.Equal(t, `binary "\x04"`, got[2].String())
		assert.Empty(t, client.Received(), "they are taken")
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("five")))
		client.ExpectText("five")
	})
}

// The inbox is bounded. When it is full, the server sees a peer that does not read, also in its
// pings, and no message is lost.
func TestReadingIsBounded(t *testing.T) {
	for name, tt := range map[string]struct{ messages, size int }{
		"by messages": {messages: 1024, size: 8},
		"by bytes":    {messages: 16, size: 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := wstest.Pair(t, websocket.Options{WriteTimeout: -1, PingInterval: -1})
				message := func(n int) []byte { return append(make([]byte, tt.size-4), fmt.Sprintf("%04d", n)...) }
				fits := tt.messages + 1 + wstest.PipeBuffer/tt.size + 4096/tt.size // one that put holds, the pipe, gorilla's buffer
				sent := 0
				go func() {
					for conn.WriteMessage(websocket.BinaryMessage, message(sent)) == nil {
						sent++
					}
				}()
				synctest.Wait()
				held := sent
				assert.Greater(t, held, tt.messages)
				assert.LessOrEqual(t, held, fits)
				time.Sleep(time.Hour)
				synctest.Wait()
				assert.Equal(t, held, sent, "nothing more is read")

				for n := range 3 * held {
					client.ExpectBinary(message(n))
				}
				synctest.Wait()
				assert.Greater(t, sent, 3*held)
			})
		})
	}
}

func TestReadOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for n := range 3 {
				if err := conn.WriteMessage(websocket.TextMessage, []byte{'a' + byte(n)}); err != nil {
					return err
				}
			}
			return nil
		}))
		client := wstest.Dial(t, u, "/", &wstest.Options{ReadOnDemand: true})
		start := time.Now()
		synctest.Wait()
		assert.Empty(t, client.Received(), "nothing is read")
		client.ExpectText("a")
		synctest.Wait()
		assert.Empty(t, client.Received(), "no more than was asked for")
		client.ExpectText("b")
		time.Sleep(9 * time.Second)
		assert.Equal(t, 1, u.Stats().Open, "the close frame is not answered")
		client.ExpectText("c")
		client.ExpectClose(websocket.CloseNormalClosure, "Server closed connection")
		require.NoError(t, u.Shutdown(t.Context()))
		assert.Equal(t, 9*time.Second, time.Since(start))
	})
}

// A read that has timed out does not take the message of the next read.
func TestDeadlineOfARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := wstest.Pair(t, websocket.Options{})
		start := time.Now()
		require.NoError(t, client.SetReadDeadline(start.Add(time.Second)))
		_, _, err := client.ReadMessage()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, "read mem 127.0.0.1:1->127.0.0.1:80: i/o timeout", err.Error())

		require.NoError(t, client.SetReadDeadline(time.Time{}))
		time.AfterFunc(time.Minute, func() { _ = client.SetReadDeadline(time.Now()) }) // it also applies to a waiting call
		_, _, err = client.ReadMessage()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Minute+time.Second, time.Since(start))

		require.NoError(t, conn.WriteJSON(42))
		client.ExpectText("42\n") // it has a timeout of its own
		require.NoError(t, conn.WriteJSON(43))
		require.NoError(t, client.SetReadDeadline(time.Time{}))
		var number int
		require.NoError(t, client.ReadJSON(&number))
		assert.Equal(t, 43, number)
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, nil))
		require.ErrorIs(t, client.ReadJSON(&number), io.ErrUnexpectedEOF)
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, []byte("all")))
		messageType, r, err := client.NextReader()
		require.NoError(t, err)
		all, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, websocket.BinaryMessage, messageType)
		assert.Equal(t, "all", string(all))
		go func() { _ = conn.Close(4000, "bye") }()
		for range 3 {
			_, _, err = client.NextReader()
			require.Equal(t, &ws.CloseError{Code: 4000, Text: "bye"}, err)
			require.Error(t, client.ReadJSON(&number))
		}
	})
}

func TestReadLimit(t *testing.T) {
	client := wstest.Dial(t, websocket.New(echo), "/", nil)
	client.SetReadLimit(5)
	client.WriteText("12345")
	client.ExpectText("12345")
	client.SetReadLimit(0)
	client.WriteText("123456")
	client.ExpectText("123456")
	client.SetReadLimit(5)
	client.WriteText("123456")
	_, _, err := client.ReadMessage()
	require.ErrorIs(t, err, ws.ErrReadLimit)
}

// Handlers may be set at any time, and run in the reading goroutine.
func TestHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan string, 10)
		client, conn := wstest.Pair(t, websocket.Options{CloseTimeout: 5 * time.Second})
		ctx := conn.CloseRead(t.Context())
		client.SetPingHandler(func(data string) error {
			told <- "ping " + strconv.Itoa(len(data))
			return client.WriteControl(ws.PongMessage, []byte(data), time.Time{})
		})
		client.SetPongHandler(func(data string) error {
			told <- "pong " + data
			return nil
		})
		_, err := conn.Ping(ctx)
		require.NoError(t, err)
		assert.Equal(t, "ping 8", <-told)
		require.NoError(t, client.PingHandler()("four"))
		assert.Equal(t, "ping 4", <-told)
		client.SetPingHandler(nil)
		_, err = conn.Ping(ctx)
		require.NoError(t, err)
		require.NoError(t, client.WriteControl(ws.PingMessage, []byte("mine"), time.Time{}))
		assert.Equal(t, "pong mine", <-told)
		require.NoError(t, client.PongHandler()("again"))
		assert.Equal(t, "pong again", <-told)
		assert.Empty(t, told)
		client.SetPongHandler(nil)

		client.SetCloseHandler(func(code int, text string) error {
			told <- "close " + strconv.Itoa(code) + " " + text
			return nil // without an answer
		})
		start := time.Now()
		require.NoError(t, conn.Close(4000, "bye"))
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, "close 4000 bye", <-told)
		client.ExpectClose(4000, "bye")
		client.SetCloseHandler(nil)
		require.NoError(t, client.CloseHandler()(4000, ""))
	})
}

func TestHandlerThatEndsReading(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		handler func(string) error
		want    string
	}{
		"by an error": {handler: func(string) error { return broken }, want: "broken"},
		"by FailNow":  {handler: func(string) error { runtime.Goexit(); return nil }, want: "wstest: a handler has ended the goroutine that reads"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := wstest.Pair(t, websocket.Options{})
				client.SetPingHandler(tt.handler)
				require.NoError(t, conn.WriteControl(websocket.PingMessage, nil, time.Time{}))
				_, _, err := client.ReadMessage()
				require.EqualError(t, err, tt.want)
			})
		})
	}
}

// A handler that never returns fails the test, which ends.
func TestHandlerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan string, 1)
		release := make(chan struct{})
		fake := &cleaningT{TB: t, told: told}
		client := wstest.Dial(fake, websocket.New(echo), "/", nil)
		client.SetPongHandler(func(string) error { <-release; return nil })
		require.NoError(t, client.WriteControl(ws.PingMessage, nil, time.Time{}))
		synctest.Wait()
		start := time.Now()
		fake.clean()
		assert.Equal(t, 20*time.Second, time.Since(start))
		assert.Equal(t, "wstest: a handler of control messages has not returned", <-told)
		close(release)
	})
}

// cleaningT runs its cleanup functions on demand.
type cleaningT struct {
	testing.TB
	told     chan string
	cleanups []func()
}

func (c *cleaningT) Cleanup(f func()) { c.cleanups = append(c.cleanups, f) }

func (c *cleaningT) Errorf(format string, args ...any) { c.told <- fmt.Sprintf(format, args...) }

func (c *cleaningT) clean() {
	for _, f := range slices.Backward(c.cleanups) {
		f()
	}
}

// The client answers the server's close frame at once. Messages that the test writes afterwards are
// lost, and the next expectation fails with the close frame.
func TestWriteAfterTheServersCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wstest.Dial(t, websocket.New(echo), "/", nil)
		client.WriteText("kick me")
		synctest.Wait()
		client.WriteText("hello?")
		client.WriteBinary(nil)
		assert.Equal(t, `wstest: got websocket: close 4000: kicked, want text "hello?"`, failureOf(t, client, func(client *wstest.Client) { client.ExpectText("hello?") }))
	})
	synctest.Test(t, func(t *testing.T) {
		client := wstest.Dial(t, websocket.New(echo), "/", nil)
		require.NoError(t, client.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(1000, ""), time.Time{}))
		synctest.Wait()
		assert.Equal(t, `wstest: write: websocket: close sent`, failureOf(t, client, func(client *wstest.Client) { client.WriteText("x") }), "which the test itself has sent")
	})
}
