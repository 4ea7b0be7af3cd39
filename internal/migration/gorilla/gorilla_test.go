package gorilla_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// old and now are the code of the page, before and after, at the same paths.
func old(feed <-chan []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo", serveEcho)
	mux.HandleFunc("GET /quotes", serveQuotes(feed))
	return mux
}

func now(feed <-chan []byte) http.Handler {
	mux := http.NewServeMux()
	routes(mux)
	subscribe := func(context.Context) <-chan []byte { return feed }
	quotesRoute(mux, subscribe)
	chatRoute(mux)
	mux.Handle("GET /legacy", websocket.New(&Legacy{subscribe: subscribe}))
	return mux
}

var unbounded = &wstest.Options{Timeout: -1}

// both runs a test in a bubble, with the code from before and with that from after.
func both(t *testing.T, test func(t *testing.T, handler http.Handler, feed chan<- []byte)) {
	t.Helper()
	for _, side := range []struct {
		name string
		of   func(feed <-chan []byte) http.Handler
	}{{"before", old}, {"after", now}} {
		t.Run(side.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := make(chan []byte)
				test(t, side.of(feed), feed)
			})
		})
	}
}

func TestEchoesAreAlike(t *testing.T) {
	both(t, func(t *testing.T, handler http.Handler, _ chan<- []byte) {
		header := http.Header{"Origin": {"https://app.example.com"}}
		client := wstest.Dial(t, handler, "/echo", &wstest.Options{Header: header})
		client.WriteText("hello")
		client.ExpectText("hello")
		client.WriteBinary([]byte{0, 1})
		client.ExpectBinary([]byte{0, 1})
		client.Close(4002, "bye") // both answer with the code that came

		header = http.Header{"Origin": {"https://evil.example"}}
		response := wstest.DialRefused(t, handler, "/echo", &wstest.Options{Header: header})
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

func TestQuotesAreAlike(t *testing.T) {
	both(t, func(t *testing.T, handler http.Handler, feed chan<- []byte) {
		client := wstest.Dial(t, handler, "/quotes", nil)
		feed <- []byte("ACME 12")
		client.ExpectText("ACME 12")
		client.WriteText("who?")
		client.ExpectText("WHO?")
		feed <- []byte("ACME 13")
		client.ExpectText("ACME 13")
		client.WriteText(strings.Repeat("a", 4097))
		_, _, err := client.ReadMessage()
		assert.True(t, ws.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)
	})
}

func TestEachConnectionHasItsFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feeds := make(chan chan []byte, 2)
		mux := http.NewServeMux()
		quotesRoute(mux, func(context.Context) <-chan []byte {
			feed := make(chan []byte)
			feeds <- feed
			return feed
		})
		server := wstest.Serve(t, mux)
		ada, bob := wstest.Dial(t, server, "/quotes", nil), wstest.Dial(t, server, "/quotes", nil)
		for range 2 {
			feed := <-feeds
			feed <- []byte("ACME 12")
		}
		ada.ExpectText("ACME 12")
		bob.ExpectText("ACME 12")
	})
}

// The pumps have the same two numbers before and after.
func TestSilentClientsAreDroppedAlike(t *testing.T) {
	both(t, func(t *testing.T, handler http.Handler, _ chan<- []byte) {
		client := wstest.DialRaw(t, handler, "/quotes", unbounded)
		start := time.Now()
		ping, err := client.Receive()
		require.NoError(t, err)
		assert.Equal(t, wstest.OpPing, ping.Opcode)
		assert.Equal(t, 50*time.Second, time.Since(start))
		for { // the code from before ends with an empty close frame
			frame, err := client.Receive()
			if err != nil {
				break
			}
			assert.Equal(t, wstest.OpClose, frame.Opcode, "%v", frame)
		}
		assert.Equal(t, 60*time.Second, time.Since(start))
	})
}

// Where they differ, as the table has it.
func TestWhatIsNoWebSocket(t *testing.T) {
	for _, row := range []struct {
		handler http.Handler
		status  int
	}{{old(nil), http.StatusBadRequest}, {now(nil), http.StatusUpgradeRequired}} {
		recorder := httptest.NewRecorder()
		row.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/echo", http.NoBody))
		assert.Equal(t, row.status, recorder.Code)
	}
	response := wstest.DialRefused(t, now(nil), "/echo", &wstest.Options{Header: http.Header{"Origin": {"https://evil.example"}}})
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.JSONEq(t, `{"error": "Forbidden"}`, string(body))
}

// Over TCP, where net/http could notice.
func TestContexts(t *testing.T) {
	causes := make(chan error, 1)
	before := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _, err = conn.ReadMessage()
		assert.Error(t, err)
		causes <- r.Context().Err()
	})
	after := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		_, _, err := conn.ReadMessage()
		causes <- context.Cause(r.Context())
		return err
	}))
	for _, side := range []struct {
		handler http.Handler
		code    int
	}{{before, -1}, {after, websocket.CloseAbnormalClosure}} {
		server := httptest.NewServer(side.handler)
		client := wstest.Dial(t, server, "/", nil)
		require.NoError(t, client.NetConn().Close())
		assert.Equal(t, side.code, websocket.CloseStatus(<-causes))
		server.Close()
	}
}

func TestReadsAfterAnError(t *testing.T) {
	type reader interface{ ReadMessage() (int, []byte, error) }
	read := func(conn reader) {
		for range 2000 {
			_, _, err := conn.ReadMessage()
			assert.Error(t, err)
		}
	}
	done := make(chan struct{})
	before := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		conn, err := upgrader.Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		assert.Panics(t, func() { read(conn) })
	})
	require.NoError(t, wstest.Dial(t, before, "/", nil).NetConn().Close())
	<-done
	done = make(chan struct{})
	after := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		defer close(done)
		read(conn)
		return nil
	}))
	require.NoError(t, wstest.Dial(t, after, "/", nil).NetConn().Close())
	<-done
}

// A reader that was busy for too long drops a peer that has answered, before and not after.
func TestBusyReaders(t *testing.T) {
	busy := func(conn interface{ ReadMessage() (int, []byte, error) }) error {
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
		time.Sleep(10 * time.Minute)
		_, _, err := conn.ReadMessage()
		return err
	}
	ended := make(chan error, 1)
	before := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		pushOn := func(string) error { return conn.SetReadDeadline(time.Now().Add(pongWait)) }
		conn.SetPongHandler(pushOn)
		assert.NoError(t, pushOn(""))
		ended <- busy(conn)
	})
	after := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		ended <- busy(conn)
		return nil
	}))
	for i, handler := range []http.Handler{before, after} {
		synctest.Test(t, func(t *testing.T) {
			ended = make(chan error, 1)
			client := wstest.Dial(t, handler, "/", unbounded)
			client.WriteText("work for me")
			time.Sleep(time.Second)
			client.WriteText("are you done?")
			if err := <-ended; i == 0 {
				var timeout net.Error // gorilla hides what it wraps
				require.ErrorAs(t, err, &timeout)
				assert.True(t, timeout.Timeout())
				assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

func TestReadDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, conn := wstest.Pair(t, websocket.Options{})
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		for range 2 { // it is final
			_, _, err := conn.ReadMessage()
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, conn.SetReadDeadline(time.Time{}))
		}
	})
}

func TestLegacyShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		subscribe := func(context.Context) <-chan []byte { return nil }
		upgrader := websocket.New(&Legacy{subscribe: subscribe})
		client := wstest.Dial(t, upgrader, "/", nil)
		synctest.Wait()
		require.NoError(t, upgrader.Shutdown(t.Context()))
		client.ExpectClose(websocket.CloseNoStatusReceived, "") // which the pump wrote
	})
}

func TestTextThatIsNotUTF8(t *testing.T) {
	client := wstest.Dial(t, old(nil), "/echo", nil)
	client.WriteText("\xff")
	client.ExpectText("\xff")
	client = wstest.Dial(t, now(nil), "/echo", nil)
	client.WriteText("\xff")
	client.ExpectClose(websocket.CloseInvalidFramePayloadData, "text is not UTF-8")
}

func TestPingHandlers(t *testing.T) {
	const path = "/"
	nothing := func(string) error { return nil }
	before := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		conn.SetPingHandler(nothing)
		_, message, _ := conn.ReadMessage()
		assert.NoError(t, conn.WriteMessage(ws.TextMessage, message))
	})
	client := wstest.DialRaw(t, before, path, nil)
	client.Send(wstest.Ping("a"), wstest.Text("b"))
	client.Expect(wstest.Text("b").Unmasked()) // and no pong

	after := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		conn.SetPingHandler(nothing)
		_, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		return conn.WriteMessage(websocket.TextMessage, message)
	}))
	client = wstest.DialRaw(t, after, path, nil)
	client.Send(wstest.Ping("a"), wstest.Text("b"))
	client.Expect(wstest.Pong("a").Unmasked(), wstest.Text("b").Unmasked())
}

func TestCloseHandlers(t *testing.T) {
	nothing := func(int, string) error { return nil }
	before := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		conn.SetCloseHandler(nothing)
		_, _, err = conn.ReadMessage()
		assert.Error(t, err)
	})
	client := wstest.DialRaw(t, before, "/", nil)
	client.Send(wstest.Close(4002, "bye"))
	client.ExpectEnd() // and no answer

	client = wstest.DialRaw(t, websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		conn.SetCloseHandler(nothing)
		_, _, err := conn.ReadMessage()
		return err
	})), "/", nil)
	client.Send(wstest.Close(4002, "bye"))
	client.ExpectClose(4002, "")
	client.ExpectEnd()
}

func TestSecondWriters(t *testing.T) {
	type writer interface {
		NextWriter(messageType int) (io.WriteCloser, error)
	}
	halves := func(conn writer) (second error) {
		first, err := conn.NextWriter(ws.TextMessage)
		if !assert.NoError(t, err) {
			return err
		}
		_, err = io.WriteString(first, "half")
		assert.NoError(t, err)
		w, err := conn.NextWriter(ws.TextMessage)
		if err == nil {
			assert.NoError(t, w.Close())
		} else {
			assert.NoError(t, first.Close())
		}
		return err
	}
	for i, handler := range []http.Handler{
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer func() { _ = conn.Close() }()
			assert.NoError(t, halves(conn))
		}),
		websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			assert.ErrorIs(t, halves(conn), os.ErrDeadlineExceeded)
			return nil
		})),
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			client := wstest.Dial(t, handler, "/", unbounded)
			client.ExpectText("half")
			if i == 1 {
				assert.Equal(t, 10*time.Second, time.Since(start))
				client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
			} else {
				assert.Zero(t, time.Since(start))
			}
		})
	}
}

func TestLongMessages(t *testing.T) {
	long := strings.Repeat("a", 1<<20+1)
	client := wstest.Dial(t, old(nil), "/echo", nil)
	client.SetReadLimit(0)
	client.WriteText(long)
	client.ExpectText(long)
	client = wstest.Dial(t, now(nil), "/echo", nil)
	client.WriteText(long)
	_, _, err := client.ReadMessage()
	assert.Equal(t, websocket.CloseMessageTooBig, websocket.CloseStatus(err))
}

func TestManyMayWrite(t *testing.T) {
	const writers = 20
	client := wstest.Dial(t, websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		var done sync.WaitGroup
		for range writers {
			done.Go(func() { assert.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("whole"))) })
		}
		done.Wait()
		return nil
	})), "/", nil)
	for range writers {
		client.ExpectText("whole")
	}
	client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
}

func TestLegacyPumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := make(chan []byte)
		client := wstest.Dial(t, now(feed), "/legacy", nil)
		client.WriteText("who?")
		client.ExpectText("WHO?")
		feed <- []byte("ACME 12")
		client.ExpectText("ACME 12")
		time.Sleep(5 * time.Minute) // pings of both kinds, and the pongs push the deadline on
		client.WriteText("still there?")
		client.ExpectText("STILL THERE?")
		client.Close(websocket.CloseNormalClosure, "bye")

		raw := wstest.DialRaw(t, now(feed), "/legacy", unbounded)
		start := time.Now()
		for {
			if _, err := raw.Receive(); err != nil {
				break
			}
		}
		assert.LessOrEqual(t, time.Since(start), time.Minute)
	})
}

func TestChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := wstest.Serve(t, now(nil))
		ada := wstest.Dial(t, server, "/chat/lobby", nil)
		bob := wstest.Dial(t, server, "/chat/lobby", nil)
		cid := wstest.Dial(t, server, "/chat/cellar", nil)
		synctest.Wait()
		ada.WriteText("hello")
		ada.ExpectText("hello")
		bob.ExpectText("hello")
		synctest.Wait()
		cid.ExpectNothing(0)
		bob.WriteText(strings.Repeat("a", 513))
		_, _, err := bob.ReadMessage()
		assert.True(t, ws.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)
	})
}

// Both hubs let a client go that does not read. Only the library's hub says why.
func TestSlowVisitors(t *testing.T) {
	text := []byte(strings.Repeat("a", 1<<16))
	t.Run("before", func(t *testing.T) {
		r := &room{enter: make(chan *visitor), leave: make(chan *visitor), say: make(chan []byte)}
		go func() {
			defer func() { _ = recover() }() // the loop has no other end
			r.run()
		}()
		slow := &visitor{send: make(chan []byte, 1)}
		r.enter <- slow
		r.say <- text
		r.say <- text
		r.enter <- nil // both rounds are over
		<-slow.send
		_, open := <-slow.send
		assert.False(t, open)
		r.leave <- slow // is no visitor any more
		r.say <- text   // the nil visitor ends the loop
	})
	t.Run("after", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			chat := &Chat{rooms: hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 1 << 17}})}
			mux := http.NewServeMux()
			websocket.New(chat).RegisterRoutes(mux, "/chat/{room}")
			client := wstest.Dial(t, mux, "/chat/lobby", &wstest.Options{ReadOnDemand: true})
			synctest.Wait()
			for range 5 {
				require.NoError(t, chat.rooms.To(hub.Room("lobby")).Send(hub.Text(string(text))))
			}
			for {
				_, _, err := client.ReadMessage()
				if err != nil {
					assert.True(t, ws.IsCloseError(err, websocket.CloseTryAgainLater), "%v", err)
					break
				}
			}
		})
	})
}

func TestAsk(t *testing.T) {
	server := httptest.NewServer(now(nil))
	defer server.Close()
	address := "ws" + strings.TrimPrefix(server.URL, "http") + "/echo"
	answer, err := askOnce(address, "hello?")
	require.NoError(t, err)
	assert.Equal(t, "hello?", answer)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	answer, err = ask(ctx, address, "hello?")
	require.NoError(t, err)
	assert.Equal(t, "hello?", answer)
}

func TestGoodbyes(t *testing.T) {
	before := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		kickOut(conn)
		_, _, err = conn.ReadMessage()
		assert.Error(t, err)
	})
	after := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		return logOut(conn)
	}))
	for _, handler := range []http.Handler{before, after} {
		synctest.Test(t, func(t *testing.T) {
			wstest.Dial(t, handler, "/", nil).ExpectClose(4001, "logged out")
			time.Sleep(time.Minute) // the timer of the code from before
		})
	}
}
