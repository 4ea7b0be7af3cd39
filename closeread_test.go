package websocket_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ticker writes until the context of CloseRead ends, and returns the cause.
func ticker(conn *websocket.Conn, r *http.Request) error {
	ctx := conn.CloseRead(r.Context())
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
			if err := conn.WriteMessage(websocket.TextMessage, []byte("tick")); err != nil {
				return err
			}
		}
	}
}

// skipTicks reads up to the first frame that is not a tick, and returns that.
func skipTicks(t *testing.T, client *wstest.Raw) wstest.Frame {
	t.Helper()
	for {
		frame, err := client.Receive()
		require.NoError(t, err)
		if string(frame.Payload) != "tick" {
			return frame
		}
	}
}

func TestCloseRead(t *testing.T) {
	cases := []struct {
		name string
		send wstest.Frame
		want []wstest.Frame
	}{
		{name: "a ping is answered, and the close frame", send: wstest.Ping("x"), want: []wstest.Frame{wstest.Pong("x")}},
		{name: "the peer closes", send: wstest.Close(3000, "bye"), want: []wstest.Frame{wstest.Close(3000, "")}},
		{name: "the peer sends text", send: wstest.Text("x"), want: []wstest.Frame{wstest.Close(1008, "unexpected data message")}},
		{name: "the peer sends a binary message", send: wstest.Binary(nil), want: []wstest.Frame{wstest.Close(1008, "unexpected data message")}},
		{name: "the peer breaks the protocol", send: wstest.Text("x").Unmasked(), want: []wstest.Frame{wstest.Close(1002, "frame is not masked")}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				ctrl := &testws.Controller{ServeFunc: ticker}
				u := websocket.New(ctrl)
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Expect(wstest.Text("tick"))
				client.Send(tc.send)
				for _, want := range tc.want {
					got := skipTicks(t, client)
					assert.Equal(t, want.Unmasked().String(), got.String())
				}
				last := tc.want[len(tc.want)-1]
				if last.Opcode == wstest.OpPong {
					client.Send(wstest.Close(1000, ""))
					assert.Equal(t, wstest.Close(1000, "").Unmasked().String(), skipTicks(t, client).String())
				}
				_, _ = client.Write(wstest.Close(1000, "").Bytes()) // in case the server waits for an answer
				_ = client.Conn.Close()
				testws.AwaitEnd(t, u)
				if tc.name == "the peer breaks the protocol" {
					assert.Len(t, ctrl.Told.All(), 1)
				} else {
					assert.Empty(t, ctrl.Told.All())
				}
			})
		})
	}
}

func TestCloseReadNoticesASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		ctx := conn.CloseRead(context.WithValue(t.Context(), "key", "value")) //nolint:revive,staticcheck // of this test alone
		assert.Equal(t, "value", ctx.Value("key"))
		assert.Equal(t, ctx, conn.CloseRead(t.Context()), "the second call changes nothing")
		start := time.Now()
		<-ctx.Done()
		testws.AssertElapsed(t, start, 40*time.Second)
		require.ErrorIs(t, context.Cause(ctx), websocket.ErrPeerGone)
		_ = client
	})
}

func TestCloseReadWithPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		conn.CloseRead(t.Context())
		go func() {
			client.Expect(testws.KeepAlivePing(1))
			time.Sleep(3 * time.Second)
			client.Send(testws.KeepAlivePong(1))
		}()
		roundTrip, err := conn.Ping(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3*time.Second, roundTrip)
	})
}

// The end of the caller's context ends the reading. That is not a failure, and the connection
// stays open until Serve returns.
func TestCloseReadWhoseContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
			ctx, cancel := context.WithTimeoutCause(r.Context(), 10*time.Second, enough)
			defer cancel()
			ctx = conn.CloseRead(ctx)
			<-ctx.Done()
			assert.Equal(t, enough, context.Cause(ctx))
			return conn.WriteMessage(websocket.TextMessage, []byte("last words"))
		}}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		client.Expect(wstest.Text("last words"))
		testws.AssertElapsed(t, start, 10*time.Second)
		client.ExpectClose(1000, websocket.NormalClosureMessage)
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		testws.AssertElapsed(t, start, 10*time.Second)
		testws.AwaitEnd(t, u)
		assert.Empty(t, ctrl.Told.All())
	})
}

// The context ends when the server begins to shut down. The goroutine ends with Serve.
func TestCloseReadAtShutdown(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		causes := make(chan error, 1)
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
			ctx := conn.CloseRead(r.Context())
			if err := conn.WriteMessage(websocket.TextMessage, []byte("tick")); err != nil {
				return err
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		}}
		u := websocket.New(ctrl)
		client := wstest.Dial(t, serve(u), "/", nil)
		client.ExpectText("tick")
		go client.ExpectClose(1001, "Server shutting down")
		require.NoError(t, u.Shutdown(t.Context()))
		assert.Equal(t, websocket.ErrShutdown, <-causes)
		assert.Empty(t, ctrl.Told.All())
	})
}
