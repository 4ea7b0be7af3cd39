package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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

// lastWords is the number of messages that a peer sends before it hangs up with code 4001.
const lastWords = 100

// hangUp sends the client's last words and closes the socket without waiting.
func hangUp(t *testing.T, client *wstest.Raw, before ...wstest.Frame) {
	t.Helper()
	for i := range lastWords {
		before = append(before, wstest.Text(fmt.Sprint(i)))
	}
	client.Send(append(before, wstest.Close(4001, "gone home"))...)
	require.NoError(t, client.Close())
}

// requireLastWords reads what hangUp has sent.
func requireLastWords(t *testing.T, read func() (int, []byte, error)) {
	t.Helper()
	for i := range lastWords {
		_, p, err := read()
		if !assert.NoError(t, err, "message %d", i) {
			return
		}
		assert.Equal(t, fmt.Sprint(i), string(p))
	}
	_, _, err := read()
	assert.Equal(t, &websocket.CloseError{Code: 4001, Text: "gone home"}, err)
}

// waysToWrite are all ways in which an application can write.
var waysToWrite = map[string]func(conn *websocket.Conn) error{
	"WriteMessage": func(conn *websocket.Conn) error {
		return conn.WriteMessage(websocket.TextMessage, []byte("x"))
	},
	"a large WriteMessage": func(conn *websocket.Conn) error {
		return conn.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20))
	},
	"WriteMessageContext": func(conn *websocket.Conn) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		return conn.WriteMessageContext(ctx, websocket.TextMessage, []byte("x"))
	},
	"WriteJSON": func(conn *websocket.Conn) error { return conn.WriteJSON("x") },
	"NextWriter": func(conn *websocket.Conn) error {
		w, err := conn.NextWriter(websocket.TextMessage)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, strings.Repeat("x", 10_000))
		return errors.Join(err, w.Close())
	},
	"WritePreparedMessage": func(conn *websocket.Conn) error {
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("x"))
		if err != nil {
			return err
		}
		return conn.WritePreparedMessage(prepared)
	},
	"gorilla's WriteMessage": func(conn *websocket.Conn) error {
		if err := conn.Conn.WriteMessage(websocket.TextMessage, []byte("x")); err == nil {
			return nil
		}
		return conn.WriteMessage(websocket.TextMessage, nil) // gorilla has errors of its own
	},
	"a ping": func(conn *websocket.Conn) error {
		return conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
	},
	"Flush": func(conn *websocket.Conn) error {
		message, err := websocket.EncodeMessage(websocket.TextMessage, []byte("x"))
		if err != nil {
			return err
		}
		err = conn.Enqueue(websocket.QueueLimit{}, message)
		conn.Flush()
		return err
	},
}

// failedWrite writes until a write fails: a network may accept more although the peer will
// not read it.
func failedWrite(t *testing.T, conn *websocket.Conn, write func(conn *websocket.Conn) error) (err error) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		if err = write(conn); err != nil {
			return err
		}
	}
	assert.Fail(t, "the peer hung up, and writes go on")
	return nil
}

// A write that fails because the peer hung up loses nothing that has arrived.
func TestWhatHadComeIsReadAfterAFailedWrite(t *testing.T) {
	ways := map[string]func(conn *websocket.Conn, r *http.Request) (int, []byte, error){
		"ReadMessage": func(conn *websocket.Conn, _ *http.Request) (int, []byte, error) { return conn.ReadMessage() },
		"ReadSlice":   func(conn *websocket.Conn, _ *http.Request) (int, []byte, error) { return conn.ReadSlice() },
		"ReadMessageContext of the connection's context": func(conn *websocket.Conn, r *http.Request) (int, []byte, error) {
			return conn.ReadMessageContext(r.Context())
		},
		"NextReaderContext of the connection's context": func(conn *websocket.Conn, r *http.Request) (int, []byte, error) {
			messageType, reader, err := conn.NextReaderContext(r.Context())
			if err != nil {
				return messageType, nil, err
			}
			p, err := io.ReadAll(reader)
			return messageType, p, err
		},
	}
	for name, write := range waysToWrite {
		for reads, read := range ways {
			t.Run(name+", then "+reads, func(t *testing.T) {
				testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
					gone := make(chan struct{})
					u := websocket.New(&testws.Controller{})
					var o testws.Observed
					u.Observer = o.Observer()
					ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
						<-gone
						err := failedWrite(t, conn, write)
						assert.True(t, websocket.IsDisconnect(err), err)
						var failure *net.OpError
						assert.ErrorAs(t, err, &failure, "the network's own error is within")
						assert.ErrorIs(t, context.Cause(r.Context()), failure, "the context ends at once")
						requireLastWords(t, func() (int, []byte, error) { return read(conn, r) })
						again := conn.WriteMessage(websocket.TextMessage, nil)
						assert.ErrorIs(t, again, failure, "later writes")
						return again
					}}
					u.Controller = ctrl
					client := wstest.DialRaw(t, serve(u), "/", nil)
					hangUp(t, client)
					close(gone)
					testws.AwaitEnd(t, u)
					assert.Empty(t, ctrl.Told.All())
					assert.Equal(t, 4001, o.Only(t).Code)
					assert.Equal(t, &websocket.CloseError{Code: 4001, Text: "gone home"}, o.Only(t).Cause)
				})
			})
		}
	}
}

// Pongs of the reading goroutine fail, and pongs of a handler that returns its error.
func TestPongThatCantLeaveDoesNotEndReads(t *testing.T) {
	for name, handler := range map[string]func(conn *websocket.Conn) func(string) error{
		"the library's": func(*websocket.Conn) func(string) error { return nil },
		"a handler's": func(conn *websocket.Conn) func(string) error {
			return func(data string) error {
				return conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				gone := make(chan struct{})
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
					conn.SetPingHandler(handler(conn))
					conn.SetCloseHandler(func(code int, _ string) error {
						return conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
					})
					<-gone
					_ = failedWrite(t, conn, waysToWrite["WriteMessage"])
					requireLastWords(t, conn.ReadMessage)
					return nil
				}}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				hangUp(t, client, wstest.Ping("1"), wstest.Ping("2"), wstest.Ping("3"))
				close(gone)
				testws.AwaitEnd(t, u)
				assert.Empty(t, ctrl.Told.All())
			})
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				conn.SetPingHandler(handler(conn))
				hangUp(t, client, wstest.Ping("the first write that fails"))
				requireLastWords(t, conn.ReadMessage)
			})
		})
	}
}

// The keep-alive pings a peer that has hung up while the controller is busy.
func TestKeepAliveOfAPeerThatHungUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{PingInterval: time.Minute, CloseTimeout: time.Hour})
		hangUp(t, client)
		time.Sleep(90 * time.Second)
		require.True(t, websocket.IsDisconnect(conn.WriteMessage(websocket.TextMessage, nil)))
		require.True(t, websocket.IsDisconnect(context.Cause(conn.Context())), "since the ping failed")
		requireLastWords(t, conn.ReadMessage)
	})
}

// A read that is waiting when a write fails reaches the end of the stream as well.
func TestHangUpWhileReading(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(context.Context) error { // the loop of the manual
				for {
					if err := conn.WriteMessage(websocket.TextMessage, []byte("tick")); err != nil {
						return testws.Wrapped(err)
					}
					time.Sleep(time.Millisecond)
				}
			})
			for i := range lastWords {
				_, p, err := conn.ReadMessage()
				if !assert.NoError(t, err) {
					return err
				}
				assert.Equal(t, fmt.Sprint(i), string(p))
				time.Sleep(time.Millisecond) // meanwhile, a write fails
			}
			_, _, err := conn.ReadMessage()
			assert.Equal(t, 4001, websocket.CloseStatus(err))
			return err
		}}
		var o testws.Observed
		u := websocket.New(ctrl)
		u.Observer = o.Observer()
		hangUp(t, wstest.DialRaw(t, serve(u), "/", nil))
		testws.AwaitEnd(t, u)
		assert.Empty(t, ctrl.Told.All())
		assert.Equal(t, 4001, o.Only(t).Code)
	})
}

// A call that waits for its turn to write does not wait for a writer that can't continue.
func TestHangUpWhileOthersWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		w, err := conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		start := time.Now()
		waiting := make(chan error)
		go func() { waiting <- conn.WriteMessage(websocket.TextMessage, nil) }()
		message, err := websocket.EncodeMessage(websocket.TextMessage, []byte("x"))
		require.NoError(t, err)
		require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, message))
		conn.Flush()
		synctest.Wait()
		require.NoError(t, client.Close())
		failure := conn.WriteControl(websocket.PingMessage, nil, time.Time{})
		require.Error(t, failure)
		require.Equal(t, failure, <-waiting)
		synctest.Wait()
		queued, _ := conn.Queued()
		require.Zero(t, queued, "there is nobody to send it to")
		require.Equal(t, failure, w.Close())
		testws.AssertElapsed(t, start, 0)
	})
}

// A Stream reads everything that has arrived, and does not keep the connection open for a
// reader that never reads.
func TestStreamOfAPeerThatHungUp(t *testing.T) {
	words := func(client *wstest.Raw) {
		client.Send(wstest.Binary([]byte("all ")), wstest.Binary([]byte("of it")), wstest.Close(1000, ""))
		_ = client.Close()
	}
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		gone := make(chan struct{})
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
			stream := websocket.Stream(r.Context(), conn, websocket.BinaryMessage)
			<-gone
			_ = failedWrite(t, conn, func(*websocket.Conn) error { _, err := stream.Write([]byte("x")); return err })
			got, err := io.ReadAll(stream)
			assert.NoError(t, err)
			assert.Equal(t, "all of it", string(got))
			return nil
		}}
		u := websocket.New(ctrl)
		words(wstest.DialRaw(t, serve(u), "/", nil))
		close(gone)
		testws.AwaitEnd(t, u)
		assert.Empty(t, ctrl.Told.All())
	})
	for name, c := range map[string]struct {
		serve func(t *testing.T, stream net.Conn) error
		after time.Duration
	}{
		"that nobody reads, of a Serve that returns": {serve: func(*testing.T, net.Conn) error { return nil }},
		"that is read too late": {after: 11 * time.Second, serve: func(t *testing.T, stream net.Conn) error {
			time.Sleep(11 * time.Second)
			_, err := io.ReadAll(stream)
			assert.True(t, websocket.IsDisconnect(err), "not all of it was read: %v", err)
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
					stream := websocket.Stream(r.Context(), conn, websocket.BinaryMessage)
					<-gone
					_, err := stream.Write([]byte("x"))
					assert.Error(t, err)
					return c.serve(t, stream)
				}}
				u := websocket.New(ctrl)
				words(wstest.DialRaw(t, u, "/", nil))
				start := time.Now()
				close(gone)
				testws.AwaitEnd(t, u)
				assert.Less(t, time.Since(start)-c.after, 2*time.Millisecond)
				assert.Empty(t, ctrl.Told.All())
			})
		})
	}
}

// A client learns why the server does not want its message.
func TestDialLearnsWhyItsMessageIsRefused(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = testws.Silent
		server := serve(u)
		for range 5 {
			conn := testws.Dial(t, server, nil)
			err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 16<<20))
			assert.True(t, websocket.IsDisconnect(err), err)
			_, _, err = conn.ReadMessage()
			assert.Equal(t, websocket.CloseMessageTooBig, websocket.CloseStatus(err), err)
			require.NoError(t, conn.CloseNow())
		}
	})
}

func TestDialReadsWhatHadComeAfterAFailedWrite(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		gone := make(chan struct{})
		server := serve(testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			defer close(gone)
			_, _ = io.WriteString(conn, testws.Switching(r))
			_, _ = wstest.ReadFrame(rw)
			var b []byte
			for i := range lastWords {
				b = wstest.Text(fmt.Sprint(i)).Unmasked().AppendTo(b)
			}
			_, _ = conn.Write(wstest.Close(4001, "gone home").Unmasked().AppendTo(b))
			_ = conn.Close()
		}))
		conn := testws.Dial(t, server, nil)
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("go on")))
		<-gone
		_ = failedWrite(t, conn, waysToWrite["WriteMessage"])
		requireLastWords(t, conn.ReadMessage)
	})
}
