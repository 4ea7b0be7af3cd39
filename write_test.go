package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
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

// In TestConcurrentWriters, many goroutines write by all methods while others ping. The client
// must receive every message whole.
func TestConcurrentWriters(t *testing.T) {
	const writers, each = 32, 50
	body := func(writer, i int) string {
		return fmt.Sprintf("%d/%d/%s", writer, i, strings.Repeat("x", (writer*i*37)%9000))
	}
	ways := []func(conn *websocket.Conn, message string) error{
		func(conn *websocket.Conn, message string) error {
			return conn.WriteMessage(websocket.TextMessage, []byte(message))
		},
		func(conn *websocket.Conn, message string) error {
			w, err := conn.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			for chunk := range slices.Chunk([]byte(message), 1000) {
				if _, err := w.Write(chunk); err != nil {
					return errors.Join(err, w.Close())
				}
			}
			return w.Close()
		},
		func(conn *websocket.Conn, message string) error {
			prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(message))
			if err != nil {
				return err
			}
			return conn.WritePreparedMessage(prepared)
		},
		func(conn *websocket.Conn, message string) error {
			return conn.WriteMessageContext(conn.Context(), websocket.TextMessage, []byte(message))
		},
	}
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				const allPinged = "all pings are sent"
				handled := make(chan struct{}) // the client counts pings: it reads from the beginning
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					<-handled
					var pinging sync.WaitGroup
					pinging.Add(writers)
					conn.Go(func(context.Context) error {
						pinging.Wait()
						return conn.WriteMessage(websocket.TextMessage, []byte(allPinged))
					})
					for w := range writers {
						conn.Go(func(context.Context) error {
							for i := range each {
								if err := ways[(w+i)%len(ways)](conn, body(w, i)); err != nil {
									return err
								}
								conn.EnableWriteCompression(i%3 != 0)
								if err := conn.SetCompressionLevel(i % 9); err != nil {
									return err
								}
							}
							return nil
						})
						conn.Go(func(context.Context) error {
							defer pinging.Done()
							for range each {
								if err := conn.WriteControl(websocket.PingMessage, []byte("still there?"), time.Time{}); err != nil {
									return err
								}
								_ = conn.SetWriteDeadline(time.Time{})
								_ = conn.SetReadDeadline(time.Time{})
							}
							return nil
						})
					}
					return testws.ReadLoop(testws.Returned)(conn, nil)
				}))
				u.Settings.EnableCompression = compression
				client := wstest.Dial(t, serve(u), "/", &wstest.Options{Compression: compression, Timeout: time.Minute})
				pings := 0
				client.SetPingHandler(func(data string) error {
					assert.Equal(t, "still there?", data)
					pings++
					return nil
				})
				close(handled)
				next := make([]int, writers)
				for range writers*each + 1 {
					_, p, err := client.ReadMessage()
					require.NoError(t, err)
					message := string(p)
					if message == allPinged {
						continue
					}
					var w, i int
					_, err = fmt.Sscanf(message, "%d/%d/", &w, &i)
					require.NoError(t, err)
					require.Equal(t, next[w], i, "the messages of one goroutine are in order")
					next[w]++
					require.Equal(t, body(w, i), message)
				}
				client.Close(1000, "")
				assert.Equal(t, writers*each, pings, "pings before the close frame")
				testws.AwaitEnd(t, u)
			})
		})
	}
}

// In TestConcurrentClosers, goroutines close the connection while many write and ping. The client
// must receive whole messages and one close frame.
func TestConcurrentClosers(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		enough := make(chan struct{})
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			for w := range 32 {
				message := bytes.Repeat([]byte{byte('a' + w%26)}, 100*w)
				conn.Go(func(context.Context) error {
					for {
						if err := conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
							return err
						}
						if err := conn.WriteControl(websocket.PingMessage, nil, time.Time{}); err != nil {
							return err
						}
					}
				})
			}
			for range 4 {
				conn.Go(func(context.Context) error {
					<-enough
					return conn.Close(4000, "enough")
				})
			}
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}))
		var log testws.Logs
		u.Logger = log.Logger()
		client := wstest.DialRaw(t, serve(u), "/", nil)
		for messages := 0; ; {
			f, err := client.Receive()
			require.NoError(t, err)
			if f.Opcode == wstest.OpClose {
				assert.Equal(t, wstest.Close(4000, "enough").Unmasked(), f)
				break
			}
			if f.Opcode == wstest.OpBinary {
				if messages++; messages == 200 {
					close(enough)
				}
				require.Zero(t, len(f.Payload)%100)
				if len(f.Payload) > 0 {
					require.Equal(t, len(f.Payload), bytes.Count(f.Payload, f.Payload[:1]), "a message is mixed")
				}
			}
		}
		client.Send(wstest.Close(4000, ""))
		client.ExpectEnd()
		testws.AwaitEnd(t, u)
		for _, line := range log.All() {
			assert.Equal(t, slog.LevelDebug, line.Level, line.Err)
		}
	})
}

func TestOneMessageAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		w, err := conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		_, err = io.WriteString(w, strings.Repeat("a", 10_000))
		require.NoError(t, err)

		start := time.Now()
		_, err = conn.NextWriter(websocket.BinaryMessage)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		testws.AssertElapsed(t, start, 10*time.Second)
		require.ErrorIs(t, conn.WriteMessage(websocket.BinaryMessage, nil), os.ErrDeadlineExceeded)
		testws.AssertElapsed(t, start, 20*time.Second)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
		require.ErrorIs(t, conn.WriteJSON(1), os.ErrDeadlineExceeded)
		testws.AssertElapsed(t, start, 21*time.Second)
		require.NoError(t, conn.SetWriteDeadline(time.Time{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, conn.WriteMessageContext(ctx, websocket.BinaryMessage, nil), context.DeadlineExceeded)
		testws.AssertElapsed(t, start, 22*time.Second)

		require.NoError(t, conn.WriteControl(websocket.PingMessage, []byte("between"), time.Time{}))
		waiting := make(chan error, 1)
		go func() { waiting <- conn.WriteMessage(websocket.BinaryMessage, []byte("second")) }()
		synctest.Wait()
		require.NoError(t, w.Close(), "a write that gave up must have no effect")
		require.NoError(t, <-waiting)

		message := readMessage(t, client, func(f wstest.Frame) {
			assert.Equal(t, wstest.Ping("between").Unmasked(), f)
		})
		assert.Equal(t, strings.Repeat("a", 10_000), message)
		client.Expect(wstest.Binary([]byte("second")))

		_, err = w.Write(nil)
		require.Error(t, err)
		require.Error(t, w.Close(), "the second time")
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, nil), "and the lock is not given back twice")
		second, err := conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		require.NoError(t, second.Close())
	})
}

// readMessage reads frames up to the end of a message and returns its payload. It passes control
// frames to control.
func readMessage(t *testing.T, client *wstest.Raw, control func(wstest.Frame)) string {
	t.Helper()
	var message bytes.Buffer
	for {
		f, err := client.Receive()
		require.NoError(t, err)
		if f.Opcode >= wstest.OpClose {
			control(f)
			continue
		}
		message.Write(f.Payload)
		if f.Fin {
			return message.String()
		}
	}
}

func TestWriteTimeout(t *testing.T) {
	t.Run("ends the connection of a peer that does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 3 * time.Second})
			read := make(chan error, 1)
			go func() { _, _, err := conn.ReadMessage(); read <- err }()
			start := time.Now()
			err := <-testws.Fill(conn)
			testws.AssertElapsed(t, start, 3*time.Second)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.True(t, websocket.IsDisconnect(err))
			assert.Equal(t, err, conn.WriteMessage(websocket.TextMessage, nil), "later writes")
			assert.Equal(t, err, conn.WriteControl(websocket.PingMessage, nil, time.Time{}), "later pings")
			assert.Equal(t, err, <-read, "the reader")
			assert.Equal(t, err, context.Cause(conn.Context()))
			require.Equal(t, err, conn.Close(1000, ""))
			testws.AssertElapsed(t, start, 3*time.Second)
		})
	})
	t.Run("is OnError's business", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
				return testws.Wrapped(conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer)))
			}}
			start := time.Now()
			ctrl.ErrorFunc = func(*http.Request, error) { testws.AssertElapsed(t, start, 10*time.Second) }
			u := websocket.New(ctrl)
			_ = wstest.DialRaw(t, u, "/", nil)
			testws.AwaitEnd(t, u)
			require.Len(t, ctrl.Told.All(), 1)
			assert.True(t, websocket.IsDisconnect(ctrl.Told.All()[0]))
		})
	})
	t.Run("bounds streamed messages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			w, err := conn.NextWriter(websocket.TextMessage)
			require.NoError(t, err)
			start := time.Now()
			_, err = w.Write(make([]byte, 2*wstest.PipeBuffer))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			testws.AssertElapsed(t, start, 10*time.Second)
			assert.Equal(t, err, w.Close())
		})
	})
	t.Run("can be switched off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: -1})
			write := testws.Fill(conn)
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			_, err := client.Receive()
			require.NoError(t, err)
			require.NoError(t, <-write)
		})
	})
	t.Run("is replaced by the caller's deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			start := time.Now()
			require.NoError(t, conn.SetWriteDeadline(start.Add(25*time.Second)))
			err := <-testws.Fill(conn)
			testws.AssertElapsed(t, start, 25*time.Second)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.False(t, websocket.IsDisconnect(err), "its own deadline says nothing about the peer")
		})
	})
	t.Run("comes back when that is taken away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Hour)))
			require.NoError(t, conn.SetWriteDeadline(time.Time{}))
			start := time.Now()
			require.Error(t, <-testws.Fill(conn))
			testws.AssertElapsed(t, start, 10*time.Second)
		})
	})
	t.Run("that has passed writes nothing and harms nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("x"))
			require.NoError(t, err)
			past := time.Now().Add(-time.Second)
			require.ErrorIs(t, conn.WriteControl(websocket.PingMessage, nil, past), os.ErrDeadlineExceeded)
			require.NoError(t, conn.SetWriteDeadline(past))
			require.ErrorIs(t, conn.WriteMessage(websocket.TextMessage, nil), os.ErrDeadlineExceeded)
			require.ErrorIs(t, conn.WritePreparedMessage(prepared), os.ErrDeadlineExceeded)
			require.NoError(t, conn.SetWriteDeadline(time.Time{}))
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("x")))
			require.NoError(t, conn.WritePreparedMessage(prepared))
			client.Expect(wstest.Text("x"), wstest.Text("x"))
		})
	})
	t.Run("of a ping that waits for a frame under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			write := testws.Fill(conn)
			start := time.Now()
			require.ErrorIs(t, conn.WriteControl(websocket.PingMessage, nil, start.Add(time.Second)), os.ErrDeadlineExceeded)
			testws.AssertElapsed(t, start, time.Second)
			_, err := client.Receive()
			require.NoError(t, err)
			require.NoError(t, <-write)
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, nil))
		})
	})
}

func TestWriteContext(t *testing.T) {
	cause := errors.New("enough of this")
	for name, write := range map[string]func(ctx context.Context, conn *websocket.Conn) error{
		"WriteMessage": func(ctx context.Context, conn *websocket.Conn) error {
			return conn.WriteMessageContext(ctx, websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer))
		},
		"WritePreparedMessage": func(ctx context.Context, conn *websocket.Conn) error {
			prepared, err := websocket.NewPreparedMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer))
			if err != nil {
				return err
			}
			return conn.WritePreparedMessageContext(ctx, prepared)
		},
		"WriteJSON": func(ctx context.Context, conn *websocket.Conn) error {
			return conn.WriteJSONContext(ctx, strings.Repeat("x", 2*wstest.PipeBuffer))
		},
		"NextWriter": func(ctx context.Context, conn *websocket.Conn) error {
			w, err := conn.NextWriterContext(ctx, websocket.BinaryMessage)
			if err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, 2*wstest.PipeBuffer)); err != nil {
				return err
			}
			return w.Close()
		},
	} {
		t.Run(name+" under way when it ends", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, conn := testws.RawPair(t, websocket.Options{})
				ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, cause)
				defer cancel()
				start := time.Now()
				err := write(ctx, conn)
				testws.AssertElapsed(t, start, 3*time.Second)
				require.ErrorIs(t, err, cause)
				assert.False(t, websocket.IsDisconnect(err))
				assert.ErrorIs(t, context.Cause(conn.Context()), cause)
				assert.Equal(t, err, conn.WriteMessage(websocket.TextMessage, nil))
			})
		})
		t.Run(name+" after it ended", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(cause)
				require.ErrorIs(t, write(ctx, conn), cause)
				require.ErrorIs(t, conn.WriteControlContext(ctx, websocket.PingMessage, nil), cause)
				require.NoError(t, conn.Context().Err())
				require.NoError(t, conn.WriteControlContext(t.Context(), websocket.PingMessage, nil))
				client.Expect(wstest.Ping(""))
				require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("x")))
				client.Expect(wstest.Text("x"))
			})
		})
	}
}

func TestWritesAfterTheEnd(t *testing.T) {
	writes := map[string]func(conn *websocket.Conn) error{
		"WriteMessage": func(conn *websocket.Conn) error { return conn.WriteMessage(websocket.TextMessage, nil) },
		"WriteControl": func(conn *websocket.Conn) error {
			return conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		},
		"a CloseMessage": func(conn *websocket.Conn) error { return conn.WriteMessage(websocket.CloseMessage, nil) },
		"WriteJSON":      func(conn *websocket.Conn) error { return conn.WriteJSON(1) },
		"NextWriter":     func(conn *websocket.Conn) error { _, err := conn.NextWriter(websocket.TextMessage); return err },
		"WritePreparedMessage": func(conn *websocket.Conn) error {
			prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, nil)
			if err != nil {
				return err
			}
			return conn.WritePreparedMessage(prepared)
		},
	}
	for end, c := range map[string]struct {
		do   func(client *wstest.Raw, conn *websocket.Conn)
		want error
	}{
		"our close frame": {want: websocket.ErrCloseSent, do: func(_ *wstest.Raw, conn *websocket.Conn) {
			_ = conn.WriteControl(websocket.CloseMessage, nil, time.Time{})
		}},
		"the answer to the peer's": {want: websocket.ErrCloseSent, do: func(client *wstest.Raw, conn *websocket.Conn) {
			client.Send(wstest.Close(1000, ""))
			_, _, _ = conn.ReadMessage()
		}},
		"Close": {want: websocket.ErrCloseSent, do: func(client *wstest.Raw, conn *websocket.Conn) {
			client.Send(wstest.Close(1000, ""))
			_ = conn.Close(1000, "")
		}},
		"CloseNow": {want: net.ErrClosed, do: func(_ *wstest.Raw, conn *websocket.Conn) { _ = conn.CloseNow() }},
	} {
		for name, write := range writes {
			t.Run(name+" after "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, conn := testws.RawPair(t, websocket.Options{})
					c.do(client, conn)
					for range 3 {
						require.ErrorIs(t, write(conn), c.want)
						if c.want == websocket.ErrCloseSent { //nolint:errorlint // the variable of the table
							require.Equal(t, c.want, write(conn), "itself")
						}
					}
				})
			})
		}
	}
	t.Run("a message begun before is not ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			w, err := conn.NextWriter(websocket.TextMessage)
			require.NoError(t, err)
			require.NoError(t, conn.WriteControl(websocket.CloseMessage, nil, time.Time{}))
			_, err = w.Write([]byte("x")) // is buffered
			require.NoError(t, err)
			require.Equal(t, websocket.ErrCloseSent, w.Close())
		})
	})
}

// In TestUnfinishedStreamEndsTheConnection, the caller's deadline passes in the middle of a
// message. No other message may follow an incomplete one.
func TestUnfinishedStreamEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		w, err := conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		_, err = w.Write(make([]byte, 10_000))
		require.NoError(t, err)
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(-time.Second)))
		err = w.Close()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.False(t, websocket.IsDisconnect(err))
		require.NoError(t, conn.SetWriteDeadline(time.Time{}))
		require.Equal(t, err, conn.WriteMessage(websocket.TextMessage, nil))
		for {
			f, err := client.Receive()
			if err != nil {
				break
			}
			require.False(t, f.Fin)
		}
	})
}

// In TestWaitForTheLockIsNotPartOfTheWrite, a message waits nine seconds for a ping that the peer
// takes late. Then its own write takes six seconds.
func TestWaitForTheLockIsNotPartOfTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		testws.FloodPings(conn)
		written := make(chan error, 1)
		go func() { written <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, 10_000)) }()
		time.Sleep(9 * time.Second)
		_, err := client.Receive() // room for the ping, not for the message
		require.NoError(t, err)
		time.Sleep(6 * time.Second)
		for f := (wstest.Frame{}); f.Opcode != wstest.OpBinary; {
			f, err = client.Receive()
			require.NoError(t, err)
		}
		require.NoError(t, <-written)
	})
}

// onePanic is a WriteBufferPool that panics once.
type onePanic struct{ n int }

func (*onePanic) Put(any) {}

func (p *onePanic) Get() any {
	if p.n++; p.n == 1 {
		panic("pool")
	}
	return nil
}

func TestPanicOfTheBufferPoolLeavesNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			assert.Panics(t, func() { _, _ = conn.Conn.NextWriter(websocket.TextMessage) })
			if err := conn.Conn.WriteMessage(websocket.TextMessage, []byte("y")); err != nil {
				return err
			}
			return conn.WriteMessage(websocket.TextMessage, []byte("x"))
		}))
		u.Settings.WriteBufferPool = &onePanic{}
		u.Logger = testws.Silent
		wstest.DialRaw(t, u, "/", nil).Expect(wstest.Text("y"), wstest.Text("x"))
	})
}

// The caller's deadline replaces the one that an earlier write left on the socket. After it,
// WriteTimeout applies again, or no deadline where there is no timeout.
func TestCallersWriteDeadlineTakesThePlaceOfOurs(t *testing.T) {
	for name, writeTimeout := range map[string]time.Duration{"with WriteTimeout": 10 * time.Second, "without": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: writeTimeout, PingInterval: -1})
				write := func() error { return conn.WriteMessage(websocket.BinaryMessage, []byte("x")) }
				require.NoError(t, write())
				_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
				require.NoError(t, write())
				time.Sleep(time.Second)
				require.ErrorIs(t, write(), os.ErrDeadlineExceeded) // the write had not begun
				_ = conn.SetWriteDeadline(time.Time{})
				require.NoError(t, write())
				ctx, cancel := context.WithCancel(t.Context())
				require.NoError(t, conn.WriteMessageContext(ctx, websocket.BinaryMessage, nil))
				cancel()
				require.NoError(t, write())
				_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
				go testws.Fill(conn)
				start := time.Now()
				<-conn.Context().Done()
				testws.AssertElapsed(t, start, time.Minute)
				_ = client
			})
		})
	}
}
