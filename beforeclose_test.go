package websocket_test

import (
	"context"
	"net/http"
	"runtime"
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

// An ending is a way in which a connection begins to end.
type ending struct {
	name   string
	end    func(u *websocket.Upgrader, conn *websocket.Conn, client *wstest.Raw, serve chan<- error)
	within bool // whether the functions have returned when end returns
	sends  bool // whether the messages that they enqueue are sent
}

var endings = []ending{
	{name: "Close", within: true, sends: true, end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ *wstest.Raw, _ chan<- error) {
		_ = conn.Close(4000, "")
	}},
	{name: "Close, twice at once", within: true, sends: true, end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ *wstest.Raw, _ chan<- error) {
		go func() { _ = conn.Close(4000, "") }()
		_ = conn.Close(4000, "")
	}},
	{name: "CloseNow", within: true, end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ *wstest.Raw, _ chan<- error) {
		_ = conn.CloseNow()
	}},
	{name: "Serve returns nil", sends: true, end: func(_ *websocket.Upgrader, _ *websocket.Conn, _ *wstest.Raw, serve chan<- error) {
		serve <- nil
	}},
	{name: "Serve fails", sends: true, end: func(_ *websocket.Upgrader, _ *websocket.Conn, _ *wstest.Raw, serve chan<- error) {
		serve <- testws.ErrDatabase
	}},
	{name: "a function of the connection fails", sends: true, end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ *wstest.Raw, serve chan<- error) {
		conn.Go(func(context.Context) error { return testws.ErrDatabase })
		<-conn.Context().Done()
		serve <- nil
	}},
	{name: "Shutdown", within: true, sends: true, end: func(u *websocket.Upgrader, _ *websocket.Conn, _ *wstest.Raw, serve chan<- error) {
		serve <- nil
		_ = u.Shutdown(context.Background())
	}},
	{name: "a CloseMessage is written", end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ *wstest.Raw, _ chan<- error) {
		_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4000, ""))
	}},
	{name: "the client says goodbye", end: func(_ *websocket.Upgrader, _ *websocket.Conn, client *wstest.Raw, _ chan<- error) {
		client.Send(wstest.Close(4000, ""))
	}},
	{name: "the client vanishes", end: func(_ *websocket.Upgrader, _ *websocket.Conn, client *wstest.Raw, _ chan<- error) {
		_ = client.Close()
	}},
}

// served returns a connection that a goroutine reads, and a channel of the error for Serve to
// return.
func served(t *testing.T, serve func(http.Handler) any) (*testws.Controller, *websocket.Upgrader, *websocket.Conn, *wstest.Raw, chan<- error) {
	conns, returns := make(chan *websocket.Conn), make(chan error, 2)
	ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
		conn.Go(func(context.Context) error { return testws.ReadLoop(testws.Wrapped)(conn, nil) })
		conns <- conn
		return <-returns
	}}
	u := websocket.New(ctrl)
	client := wstest.DialRaw(t, serve(u), "/", nil)
	return ctrl, u, <-conns, client, returns
}

// However a connection ends, the functions are called once, in order, and the messages that they
// enqueue are sent before the close frame.
func TestBeforeClose(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				_, u, conn, client, returns := served(t, serve)
				var calls callList
				lastWords := testws.Encode(t, "last words")
				for i := range 3 {
					require.True(t, conn.BeforeClose(func() {
						calls.add(i)
						if e.sends {
							assert.NoError(t, conn.Enqueue(websocket.QueueLimit{}, lastWords))
						}
					}))
				}
				received := make(chan []wstest.Frame, 1)
				go func() { received <- receiveAll(client) }()
				e.end(u, conn, client, returns)
				if e.within {
					assert.Equal(t, []int{0, 1, 2}, calls.all())
				}
				returns <- nil
				frames := <-received
				testws.AwaitEnd(t, u)
				assert.Equal(t, []int{0, 1, 2}, calls.all())
				if e.sends {
					require.Len(t, frames, 4)
					for _, f := range frames[:3] {
						assert.Equal(t, "last words", string(f.Payload))
					}
					assert.Equal(t, wstest.OpClose, frames[3].Opcode)
				}
				assert.False(t, conn.BeforeClose(func() { t.Error("called too late") }))
			})
		})
	}
}

// If one of the functions panics or calls Goexit, that is reported, the others are still called,
// and the connection is closed.
func TestBeforeCloseFails(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("oh") }, "Goexit": runtime.Goexit} {
		for _, e := range endings {
			t.Run(name+"/"+e.name, func(t *testing.T) {
				testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
					ctrl, u, conn, client, returns := served(t, serve)
					var calls callList
					require.True(t, conn.BeforeClose(func() { calls.add(0) }))
					require.True(t, conn.BeforeClose(fail))
					require.True(t, conn.BeforeClose(func() { calls.add(1) }))
					go receiveAll(client)
					over := make(chan struct{})
					go func() {
						defer close(over)
						e.end(u, conn, client, returns)
					}()
					<-over
					returns <- nil
					testws.AwaitEnd(t, u)
					assert.Equal(t, []int{0, 1}, calls.all())
					var p *websocket.PanicError
					require.NotEmpty(t, ctrl.Told.All())
					require.ErrorAs(t, ctrl.Told.All()[len(ctrl.Told.All())-1], &p)
				})
			})
		}
	}
}

// A second Close, and the end of Serve, wait for the functions.
func TestBeforeCloseComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u, conn, client, returns := served(t, func(h http.Handler) any { return h })
		goOn := make(chan struct{})
		require.True(t, conn.BeforeClose(func() {
			<-goOn
			assert.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "last words")))
		}))
		go func() { _ = conn.Close(4000, "") }()
		synctest.Wait()
		returns <- nil
		go func() { _ = conn.Close(4001, "") }()
		synctest.Wait()
		close(goOn)
		client.Expect(wstest.Text("last words"))
		client.ExpectClose(4000, "")
		client.Send(wstest.Close(4000, ""))
		testws.AwaitEnd(t, u)
	})
}

// A function that hangs, or that closes the connection, does not keep the socket open: the socket
// is closed after the close timeout, or at the end of Shutdown's time.
func TestBeforeCloseHangs(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(u *websocket.Upgrader, conn *websocket.Conn, returns chan<- error)
		want time.Duration
	}{
		{name: "Close", want: 3 * time.Second, end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ chan<- error) { _ = conn.Close(4000, "") }},
		{name: "CloseNow", end: func(_ *websocket.Upgrader, conn *websocket.Conn, _ chan<- error) { _ = conn.CloseNow() }},
		{name: "Serve returns", want: 3 * time.Second, end: func(_ *websocket.Upgrader, _ *websocket.Conn, returns chan<- error) { returns <- nil }},
		{name: "Shutdown", want: time.Second, end: func(u *websocket.Upgrader, _ *websocket.Conn, _ chan<- error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			assert.ErrorIs(t, u.Shutdown(ctx), context.DeadlineExceeded)
		}},
	} {
		for name, hang := range map[string]func(conn *websocket.Conn, goOn <-chan struct{}){
			"waits":  func(_ *websocket.Conn, goOn <-chan struct{}) { <-goOn },
			"closes": func(conn *websocket.Conn, _ <-chan struct{}) { _ = conn.Close(4001, "") },
		} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					_, u, conn, client, returns := served(t, func(h http.Handler) any { return wstest.Serve(t, h) })
					conn.SetCloseHandshakeTimeout(3 * time.Second)
					goOn := make(chan struct{})
					require.True(t, conn.BeforeClose(func() { hang(conn, goOn) }))
					begun := time.Now()
					go c.end(u, conn, returns)
					client.ExpectEnd()
					testws.AssertElapsed(t, begun, c.want)
					close(goOn)
					returns <- nil
					testws.AwaitEnd(t, u)
				})
			})
		}
	}
}

// A function that hangs does not delay a Close for longer than the close timeout.
func TestCloseWhileBeforeCloseHangs(t *testing.T) {
	for name, end := range map[string]func(conn *websocket.Conn) error{
		"Close":    func(conn *websocket.Conn) error { return conn.Close(4000, "") },
		"CloseNow": (*websocket.Conn).CloseNow,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, u, conn, _, returns := served(t, func(h http.Handler) any { return wstest.Serve(t, h) })
				conn.SetCloseHandshakeTimeout(3 * time.Second)
				goOn := make(chan struct{})
				require.True(t, conn.BeforeClose(func() { <-goOn }))
				begun := time.Now()
				_ = end(conn)
				testws.AssertElapsed(t, begun, 3*time.Second)
				_ = end(conn)
				testws.AssertElapsed(t, begun, 3*time.Second)
				returns <- nil
				synctest.Wait()
				assert.Equal(t, 1, u.Stats().Open, "the end of Serve waits")
				close(goOn)
				testws.AwaitEnd(t, u)
			})
		})
	}
}

// receiveAll returns what a client receives until the end. It answers the close frame.
func receiveAll(client *wstest.Raw) (frames []wstest.Frame) {
	for {
		f, err := client.Receive()
		if err != nil {
			return frames
		}
		frames = append(frames, f)
		if f.Opcode == wstest.OpClose {
			_, _ = client.Conn.Write(wstest.Close(f.CloseCode(), "").Bytes())
		}
	}
}

type callList struct {
	mu    sync.Mutex
	calls []int
}

func (l *callList) add(call int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
}

func (l *callList) all() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}
