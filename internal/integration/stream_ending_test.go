package integration_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
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

func TestStreamEndings(t *testing.T) {
	closed := func(code int) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			assert.Equal(t, code, websocket.CloseStatus(err), err)
			assert.NotErrorIs(t, err, io.EOF)
		}
	}
	eof := func(t *testing.T, err error) {
		t.Helper()
		assert.Equal(t, io.EOF, err, "bare")
	}
	cases := []struct {
		name string
		end  func(client *wstest.Raw)
		want func(*testing.T, error)
		told int // errors
	}{
		{"normal closure", func(client *wstest.Raw) { client.Send(wstest.Close(1000, "bye")) }, eof, 0},
		{"going away", func(client *wstest.Raw) { client.Send(wstest.Close(1001, "")) }, eof, 0},
		{"an empty close frame", func(client *wstest.Raw) { client.Send(wstest.Close(1005, "")) }, eof, 0},
		{"an error of the peer's", func(client *wstest.Raw) { client.Send(wstest.Close(1011, "oh")) }, closed(1011), 0},
		{"a code of the application's", func(client *wstest.Raw) { client.Send(wstest.Close(4000, "")) }, closed(4000), 0},
		{"goodbye inside a message", func(client *wstest.Raw) {
			client.Send(testws.Part(wstest.OpBinary, false, ""), wstest.Close(1000, ""))
		}, closed(1000), 0},
		{"hung up", func(client *wstest.Raw) { _ = client.Close() }, closed(1006), 1},
		{"hung up inside a message", func(client *wstest.Raw) {
			client.Send(testws.Part(wstest.OpBinary, false, ""))
			_ = client.Close()
		}, closed(1006), 1},
		{"a breach of the protocol", func(client *wstest.Raw) { client.Send(wstest.Frame{Fin: true, Opcode: 0xb, Masked: true}) }, func(t *testing.T, err error) {
			t.Helper()
			assert.ErrorContains(t, err, "reserved opcode")
		}, 1},
		{"a message of the other type", func(client *wstest.Raw) { client.Send(wstest.Text("what?")) }, func(t *testing.T, err error) {
			t.Helper()
			assert.EqualError(t, err, "websocket: protocol error: text and binary messages in one stream")
		}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ends := make(chan error, 2)
				ctrl := &testws.Controller{ServeFunc: testws.OnStream(func(stream net.Conn) error {
					got := make([]byte, 9)
					_, err := io.ReadFull(stream, got)
					assert.NoError(t, err)
					assert.Equal(t, "up to now", string(got), "what came before the end is not lost")
					for range 2 {
						_, err = stream.Read(got)
						ends <- err
					}
					return nil
				})}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Send(wstest.Binary([]byte("up to now")))
				c.end(client)
				c.want(t, <-ends)
				c.want(t, <-ends)
				_ = client.Close()
				testws.AwaitEnd(t, u)
				assert.Len(t, ctrl.Told.All(), c.told)
			})
		})
	}
}

func TestStreamWhenItsServerShutsDown(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		begun := make(chan struct{})
		ctrl := &testws.Controller{ServeFunc: testws.OnStream(func(stream net.Conn) error {
			close(begun)
			_, err := io.Copy(io.Discard, stream)
			assert.ErrorIs(t, err, websocket.ErrShutdown)
			return err
		})}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, serve(u), "/", nil)
		<-begun
		var shutdown sync.WaitGroup
		shutdown.Go(func() { assert.NoError(t, u.Shutdown(t.Context())) })
		client.ExpectClose(1001, "Server shutting down")
		client.Send(wstest.Close(1001, ""))
		client.ExpectEnd()
		_ = client.Close()
		shutdown.Wait()
		assert.Empty(t, ctrl.Told.All())
	})
}

func TestStreamEndsWithServe(t *testing.T) {
	for name, message := range map[string]string{"a read waits": "", "what came is not read": "unread"} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				var reading sync.WaitGroup
				received := make(chan struct{})
				ctrl := &testws.Controller{ServeFunc: testws.OnStream(func(stream net.Conn) error {
					<-received
					if message == "" {
						reading.Go(func() {
							_, err := stream.Read(make([]byte, 1))
							assert.ErrorIs(t, err, net.ErrClosed)
						})
					}
					return nil
				})}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Send(wstest.Ping(""))
				client.Expect(wstest.Pong("")) // without a Read
				client.Send(wstest.Binary([]byte(message)))
				close(received)
				client.ExpectClose(1000, websocket.NormalClosureMessage)
				client.Send(wstest.Close(1000, ""))
				client.ExpectEnd()
				_ = client.Close()
				reading.Wait()
				require.NoError(t, u.Shutdown(t.Context()))
				assert.Empty(t, ctrl.Told.All())
			})
		})
	}
}

func TestStreamOfAConnectionThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late *websocket.Conn
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			late = conn
			return nil
		}))
		client := wstest.Dial(t, u, "/", nil)
		client.ExpectClose(1000, websocket.NormalClosureMessage)
		require.NoError(t, u.Shutdown(t.Context()))
		start := time.Now()
		stream := websocket.Stream(t.Context(), late, websocket.BinaryMessage)
		_, err := stream.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = stream.Write([]byte("x"))
		require.Error(t, err)
		require.NoError(t, stream.Close())
		testws.AssertElapsed(t, start, 0)
	})
}

// The stream is made when Serve has returned: no goroutine would read for it.
func TestStreamOfAConnectionThatIsEnding(t *testing.T) {
	for name, serve := range map[string]websocket.ControllerFunc{
		"the peer said goodbye": func(conn *websocket.Conn, _ *http.Request) error {
			_, _, err := conn.ReadMessage()
			return err
		},
		"we say goodbye": func(*websocket.Conn, *http.Request) error { return nil },
		"Serve failed":   func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var late *websocket.Conn
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
					late = conn
					return serve(conn, r)
				}))
				u.Logger = testws.Silent
				client := wstest.DialRaw(t, u, "/", nil)
				client.Send(wstest.Close(1000, ""))
				synctest.Wait()
				start := time.Now()
				stream := websocket.Stream(context.Background(), late, websocket.BinaryMessage)
				_, err := stream.Read(make([]byte, 1))
				require.ErrorIs(t, err, net.ErrClosed)
				_, err = stream.Write([]byte("x"))
				require.Error(t, err)
				_ = stream.Close() // which may say how the connection ended
				testws.AssertElapsed(t, start, 0)
				_ = client.Close()
				require.NoError(t, u.Shutdown(t.Context()))
			})
		})
	}
	t.Run("OnError", func(t *testing.T) {
		testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
			u := websocket.New(&lateStream{})
			client := wstest.DialRaw(t, serve(u), "/", nil)
			client.ExpectClose(1011, "Internal Server Error")
			client.Send(wstest.Close(1011, ""))
			client.ExpectEnd()
			_ = client.Close()
			testws.AwaitEnd(t, u)
		})
	})
}

// lateStream reads from a stream that it makes in OnError.
type lateStream struct{}

func (*lateStream) Serve(*websocket.Conn, *http.Request) error { return testws.ErrDatabase }

func (*lateStream) OnError(r *http.Request, _ error) {
	conn, _ := websocket.FromContext(r.Context())
	_, err := websocket.Stream(r.Context(), conn, websocket.BinaryMessage).Read(make([]byte, 1))
	if !errors.Is(err, net.ErrClosed) {
		panic(err)
	}
}

// The peer sends a close frame, and the close handler panics.
func TestStreamEndsWithACloseHandler(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(int, string) error
		want    func(*testing.T, error)
		told    int // errors, of a Serve that returns none
	}{
		"that fails": {
			handler: func(int, string) error { return testws.ErrDatabase },
			want:    func(t *testing.T, err error) { t.Helper(); assert.ErrorIs(t, err, testws.ErrDatabase) },
		},
		"that panics": {
			handler: func(int, string) error { panic("oh") },
			want:    func(t *testing.T, err error) { t.Helper(); assert.Equal(t, 1000, websocket.CloseStatus(err)) },
			told:    1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
					conn.SetCloseHandler(c.handler)
					stream := websocket.Stream(r.Context(), conn, websocket.BinaryMessage)
					_, err := stream.Read(make([]byte, 1))
					testws.AssertElapsed(t, start, 0)
					assert.NotErrorIs(t, err, io.EOF)
					c.want(t, err)
					return nil
				}}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, u, "/", nil)
				client.Send(wstest.Close(1000, ""))
				_, _ = io.Copy(io.Discard, client)
				_ = client.Close()
				require.NoError(t, u.Shutdown(t.Context()))
				require.Len(t, ctrl.Told.All(), c.told)
			})
		})
	}
}

// The inflated part of a message arrives together with the error that ends it, while our
// close frame can't be written. The reading goroutine must not wait for a reader of that
// part.
func TestStreamOfACutMessageThatWasCompressed(t *testing.T) {
	for name, options := range map[string]websocket.Options{
		"by default":             {},
		"nobody waits for close": {CloseTimeout: -1, WriteTimeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := websocket.New(testws.OnStream(func(stream net.Conn) error {
					_, err := stream.Write(make([]byte, 4*wstest.PipeBuffer)) // the peer takes nothing
					return err
				}))
				u.Options = options
				u.Settings.EnableCompression = true
				u.CompressionLevel = websocket.CompressionOff
				u.Logger = testws.Silent
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Compression: true, Timeout: time.Hour})
				cut := testws.Deflated(strings.Repeat("abcdefgh", 10))
				cut.Opcode, cut.Fin = wstest.OpBinary, false
				client.Send(cut, wstest.Close(1000, ""))
				time.Sleep(10 * time.Minute)
				require.Zero(t, u.Stats().Open, "Serve has returned long ago")
				_ = client.Close()
			})
		})
	}
}

func TestStreamEndsWithAHandler(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(string) error
		want    string
	}{
		"that fails":  {func(string) error { return testws.ErrDatabase }, testws.ErrDatabase.Error()},
		"that panics": {func(string) error { panic("oh") }, "panic: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
					conn.SetPingHandler(c.handler)
					stream := websocket.Stream(r.Context(), conn, websocket.BinaryMessage)
					_, err := stream.Read(make([]byte, 1))
					assert.ErrorContains(t, err, c.want)
					return nil
				}}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Send(wstest.Ping(""))
				client.ExpectClose(1011, "Internal Server Error")
				client.Send(wstest.Close(1011, ""))
				client.ExpectEnd()
				_ = client.Close()
				testws.AwaitEnd(t, u)
				require.Len(t, ctrl.Told.All(), 1)
				assert.ErrorContains(t, ctrl.Told.All()[0], c.want)
			})
		})
	}
}
