package integration_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readAlong are ways to read everything until an error.
var readAlong = map[string]func(conn *websocket.Conn, got func(p []byte)) error{
	"ReadMessage": readEach(func(conn *websocket.Conn) ([]byte, error) {
		_, p, err := conn.ReadMessage()
		return p, err
	}),
	"ReadSlice": readEach(func(conn *websocket.Conn) ([]byte, error) {
		_, p, err := conn.ReadSlice()
		return p, err
	}),
	"ReadMessageContext": readEach(func(conn *websocket.Conn) ([]byte, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_, p, err := conn.ReadMessageContext(ctx)
		return p, err
	}),
	"ReadJSON": readEach(func(conn *websocket.Conn) ([]byte, error) {
		var text string
		err := conn.ReadJSON(&text)
		return []byte(text), err
	}),
	"NextReader": func(conn *websocket.Conn, got func(p []byte)) error {
		for {
			_, r, err := conn.NextReader()
			if err != nil {
				return err
			}
			for p := make([]byte, 1<<10); err == nil; {
				var n int
				if n, err = r.Read(p); n > 0 {
					got(p[:n])
				}
			}
		}
	},
}

func readEach(read func(conn *websocket.Conn) ([]byte, error)) func(conn *websocket.Conn, got func(p []byte)) error {
	return func(conn *websocket.Conn, got func(p []byte)) error {
		for {
			p, err := read(conn)
			if err != nil {
				return err
			}
			got(p)
		}
	}
}

// After Close is called, no read returns a message, even while the close frame waits behind
// queued messages for a peer that takes nothing. A message that has begun is not continued.
func TestNothingIsReadOnceCloseIsCalled(t *testing.T) {
	for name, read := range readAlong {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				got := make(chan string, 100)
				closed := make(chan error, 1)
				conns := make(chan *websocket.Conn)
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					conns <- conn
					err := read(conn, func(p []byte) { got <- string(p) })
					closed <- err
					return err
				}))
				u.Logger = testws.Silent
				client := wstest.DialRaw(t, serve(u), "/", nil)
				conn := <-conns
				client.Send(wstest.Text(`"before"`))
				<-got
				client.Send(wstest.Frame{Opcode: wstest.OpText, Masked: true, Payload: []byte(`"no`)})
				if name == "NextReader" {
					<-got // and so it is within the message
				}

				large := testws.EncodeSize(t, 16<<20)
				require.NoError(t, conn.Enqueue(websocket.QueueLimit{Bytes: -1}, large))
				conn.Flush()
				down := make(chan error, 1)
				go func() { down <- conn.Close(4000, "enough") }()
				called := func() bool {
					err := conn.Enqueue(websocket.QueueLimit{Bytes: -1}, testws.Encode(t, "late"))
					return errors.Is(err, websocket.ErrCloseSent)
				}
				for !called() {
					time.Sleep(time.Millisecond)
				}
				client.Send(wstest.Frame{Fin: true, Opcode: wstest.OpContinuation, Masked: true, Payload: []byte(`ne"`)})
				for range 50 {
					client.Send(wstest.Text(`"late"`), wstest.Ping("?"))
				}
				for {
					f, err := client.Receive()
					require.NoError(t, err)
					if f.Opcode == wstest.OpClose {
						assert.Equal(t, 4000, f.CloseCode())
						break
					}
				}
				client.Send(wstest.Text(`"later"`), wstest.Close(4000, ""))
				require.NoError(t, <-down)
				require.Equal(t, 4000, websocket.CloseStatus(<-closed))
				assert.Empty(t, got)
				client.ExpectEnd()
			})
		})
	}
}

// After Serve has returned, no other goroutine reads a message, though the close frame is
// not sent yet.
func TestNothingIsReadOnceServeHasReturned(t *testing.T) {
	for name, read := range readAlong {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				got := make(chan string, 100)
				told, goOn := make(chan struct{}), make(chan struct{})
				u := websocket.New(&lateTold{told: told, goOn: goOn, serve: func(conn *websocket.Conn, _ *http.Request) error {
					conn.Go(func(context.Context) error { return read(conn, func(p []byte) { got <- string(p) }) })
					<-got
					return testws.ErrDatabase
				}})
				u.Logger = testws.Silent
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Send(wstest.Text(`"before"`))
				<-told
				for range 20 {
					client.Send(wstest.Text(`"late"`), wstest.Ping("?"))
					client.Expect(wstest.Pong("?"))
				}
				close(goOn)
				client.ExpectClose(1011, "Internal Server Error")
				client.Send(wstest.Text(`"later"`), wstest.Close(1011, ""))
				client.ExpectEnd()
				testws.AwaitEnd(t, u)
				assert.Empty(t, got)
			})
		})
	}
}

// A lateTold is a controller whose OnError takes some time.
type lateTold struct {
	serve      func(conn *websocket.Conn, r *http.Request) error
	told, goOn chan struct{}
}

func (ctrl *lateTold) Serve(conn *websocket.Conn, r *http.Request) error { return ctrl.serve(conn, r) }

func (ctrl *lateTold) OnError(*http.Request, error) {
	close(ctrl.told)
	<-ctrl.goOn
}
