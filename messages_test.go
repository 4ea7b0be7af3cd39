package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/poller"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is a short text of an error, without the stack of a panic.
func told(err error) string {
	var p *websocket.PanicError
	if errors.As(err, &p) {
		return fmt.Sprint("panic: ", p.Value, " in ", err)
	}
	return fmt.Sprint(err)
}

// A messageCase is a life of one connection. Its handler may be changed by open.
type messageCase struct {
	name   string
	open   func(conn *websocket.Conn, h *testws.MessageHandler) error // nil: nothing more
	client func(client *wstest.Raw)                                   // nil: it sends a message
	stop   bool                                                       // the Upgrader shuts down once the client is done
}

// onMessage returns a case whose handler is f for each message.
func onMessage(name string, f func(conn *websocket.Conn) error) messageCase {
	return messageCase{name: name, open: func(conn *websocket.Conn, h *testws.MessageHandler) error {
		h.MessageFunc = func(int, []byte) error { return f(conn) }
		return nil
	}}
}

// atClose returns a case whose OnClose is f, after a message that OnMessage answers with err.
func atClose(name string, err error, f func(conn *websocket.Conn)) messageCase {
	return messageCase{name: name, open: func(conn *websocket.Conn, h *testws.MessageHandler) error {
		h.MessageFunc = func(int, []byte) error { return err }
		closed := h.CloseFunc
		h.CloseFunc = func(err error) {
			closed(err)
			f(conn)
		}
		return nil
	}}
}

var errBoom = errors.New("boom")

var messageCases = []messageCase{
	{name: "the peer closes", client: func(client *wstest.Raw) { client.Send(wstest.Text("a"), wstest.Close(3001, "bye")) }},
	{name: "the peer vanishes", client: func(client *wstest.Raw) { _ = client.Conn.Close() }},
	{name: "the peer breaks the protocol", client: func(client *wstest.Raw) { client.Send(wstest.Text("x").Unmasked()) }},
	{name: "a message is too long", client: func(client *wstest.Raw) { client.Send(wstest.Binary(make([]byte, 1001))) }},
	{name: "text is no UTF-8", client: func(client *wstest.Raw) { client.Send(wstest.Text("\xff")) }},
	{name: "pings and fragments", client: func(client *wstest.Raw) {
		first, last := wstest.Text("a"), wstest.Text("b")
		first.Fin, last.Opcode = false, wstest.OpContinuation
		client.Send(wstest.Ping("1"), first, wstest.Ping("2"), last, wstest.Close(1000, ""))
	}},
	{name: "shutdown", stop: true},
	{name: "shutdown before a message", stop: true, client: func(*wstest.Raw) {}},
	{name: "the peer falls silent", client: func(*wstest.Raw) { time.Sleep(time.Hour) }},

	{name: "open fails", open: func(*websocket.Conn, *testws.MessageHandler) error { return testws.ErrDatabase }},
	{name: "open refuses", open: func(*websocket.Conn, *testws.MessageHandler) error { return websocket.NewCloseError(4001, "no") }},
	{name: "open panics", open: func(*websocket.Conn, *testws.MessageHandler) error { panic(errBoom) }},
	{name: "open exits", open: func(*websocket.Conn, *testws.MessageHandler) error { runtime.Goexit(); return nil }},
	{name: "open reads", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		_, p, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		return conn.WriteMessage(websocket.TextMessage, append(p, " for open"...))
	}},
	{name: "open reads too long", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _, err := conn.ReadMessage()
		return err
	}, client: func(*wstest.Raw) { time.Sleep(time.Minute) }},
	{name: "the read deadline passes", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		return conn.SetReadDeadline(time.Now().Add(time.Second))
	}},
	{name: "a goroutine fails", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		conn.Go(func(context.Context) error {
			time.Sleep(time.Second)
			return testws.ErrDatabase
		})
		return nil
	}},
	{name: "a goroutine closes", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		conn.Go(func(context.Context) error {
			time.Sleep(time.Second)
			return conn.Close(4002, "enough")
		})
		return nil
	}},
	{name: "a goroutine closes now", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		conn.Go(func(context.Context) error {
			time.Sleep(time.Second)
			return conn.CloseNow()
		})
		return nil
	}},
	{name: "a hook says good-bye", stop: true, open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		conn.BeforeClose(func() {
			m, err := websocket.EncodeMessage(websocket.TextMessage, []byte("good-bye"))
			if err == nil {
				_ = conn.Enqueue(websocket.QueueLimit{}, m)
			}
		})
		return nil
	}},
	{name: "a ping handler panics", open: func(conn *websocket.Conn, _ *testws.MessageHandler) error {
		conn.SetPingHandler(func(string) error { panic(errBoom) })
		return nil
	}, client: func(client *wstest.Raw) { client.Send(wstest.Ping("x")) }},

	onMessage("a message fails", func(*websocket.Conn) error { return testws.ErrDatabase }),
	onMessage("a message ends it normally", func(*websocket.Conn) error { return websocket.NewCloseError(1000, "done") }),
	onMessage("a message ends it, wrapped", func(*websocket.Conn) error {
		return fmt.Errorf("no room: %w", websocket.NewCloseError(4003, "full"))
	}),
	onMessage("a message panics", func(*websocket.Conn) error { panic(errBoom) }),
	onMessage("a message exits", func(*websocket.Conn) error { runtime.Goexit(); return nil }),
	onMessage("a message closes", func(conn *websocket.Conn) error { return conn.Close(4004, "closed") }),
	onMessage("a message closes now", func(conn *websocket.Conn) error { return conn.CloseNow() }),
	onMessage("a message reads the next", func(conn *websocket.Conn) error {
		_, p, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		return conn.WriteMessage(websocket.TextMessage, p)
	}),
	onMessage("a message is half read", func(conn *websocket.Conn) error {
		_, _, err := conn.NextReader()
		return err
	}),
	onMessage("a message cannot be written", func(conn *websocket.Conn) error {
		_ = conn.SetWriteDeadline(time.Now().Add(-time.Second))
		return conn.WriteMessage(websocket.TextMessage, nil)
	}),

	atClose("the end panics", nil, func(*websocket.Conn) { panic(errBoom) }),
	atClose("the end says good-bye", testws.ErrDatabase, func(conn *websocket.Conn) {
		_ = conn.WriteMessage(websocket.TextMessage, []byte("good-bye"))
	}),
	atClose("the end says good-bye at a chosen end", websocket.NewCloseError(4005, "x"), func(conn *websocket.Conn) {
		_ = conn.WriteMessage(websocket.TextMessage, []byte("good-bye"))
	}),
	atClose("the end exits", nil, func(*websocket.Conn) { runtime.Goexit() }),
}

// A life is what can be seen of a connection.
type life struct {
	Frames, Told, Closed []string
	Ending, End          string
	Lasted               time.Duration
}

// live runs a case, in a bubble, and returns what can be seen. With a parkAfter, it is served
// message by message. It counts how often the connection was parked. A client that is late waits
// for a second before it does anything.
func (tc *messageCase) live(t *testing.T, parkAfter time.Duration, late bool) (seen life, parked int64) {
	start := time.Now()
	open := func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
		h := &testws.MessageHandler{
			MessageFunc: conn.WriteMessage,
			CloseFunc:   func(err error) { seen.Closed = append(seen.Closed, told(err)) },
		}
		if tc.open != nil {
			if err := tc.open(conn, h); err != nil {
				return h, err
			}
		}
		return h, nil
	}
	ctrl := &testws.Controller{ServeFunc: testws.AsServe(open)}
	messages := &testws.MessageController{OpenFunc: open}
	u := websocket.New(ctrl)
	if parkAfter != 0 {
		u = websocket.NewMessages(messages)
		u.ParkAfter = parkAfter
	}
	var observed testws.Observed
	u.Observer = observed.Observer()
	u.Logger = testws.Silent
	u.MaxMessageSize = 1000
	u.CloseTimeout = 2 * time.Second
	handler := &testws.Parkable{Handler: u}
	client := wstest.DialRaw(t, handler, "/", &wstest.Options{Timeout: 24 * time.Hour})
	if late {
		time.Sleep(time.Second + time.Microsecond) // not when something else happens
	}
	if tc.client != nil {
		tc.client(client)
	} else {
		_, _ = client.Write(append(wstest.Text("hello").Bytes(), wstest.Text("again").Bytes()...))
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		_, _ = client.Write(wstest.Close(1000, "").Bytes())
	}
	synctest.Wait()
	if tc.stop {
		assert.NoError(t, u.Shutdown(t.Context()))
	}
	for {
		frame, err := client.Receive()
		if err != nil {
			seen.End = fmt.Sprint(err)
			break
		}
		seen.Frames = append(seen.Frames, frame.String())
	}
	seen.Lasted = time.Since(start)
	_ = client.Conn.Close()
	testws.AwaitEnd(t, u)
	for _, err := range append(ctrl.Told.All(), messages.Told.All()...) {
		seen.Told = append(seen.Told, told(err))
	}
	ending := observed.Only(t)
	seen.Ending = fmt.Sprint(ending.Code, " ", told(ending.Cause), " ", ending.Panicked, " ", ending.Duration)
	return seen, handler.Parked.Load()
}

// Whatever happens to a connection, a MessageController sees it as the Serve of its
// documentation would, and so does the peer.
func TestMessagesAreServedAsDocumented(t *testing.T) {
	times := make(map[time.Duration]int64) // that connections were parked
	for _, tc := range messageCases {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, ", late: ", late), func(t *testing.T) {
				var want life
				synctest.Test(t, func(t *testing.T) { want, _ = tc.live(t, 0, late) })
				assert.NotEmpty(t, want.Ending)
				for _, parkAfter := range []time.Duration{-1, time.Millisecond, 100 * time.Millisecond} {
					synctest.Test(t, func(t *testing.T) {
						got, parked := tc.live(t, parkAfter, late)
						assert.Equal(t, want, got, parkAfter)
						times[parkAfter] += parked
					})
				}
			})
		}
	}
	assert.Zero(t, times[-1])
	assert.Greater(t, times[time.Millisecond], int64(40))
	assert.Greater(t, times[100*time.Millisecond], int64(40))
	t.Log(times)
}

func TestNewMessagesNeedsAController(t *testing.T) {
	assert.Panics(t, func() { websocket.NewMessages(nil) })
	assert.Panics(t, func() { websocket.NewMessages(websocket.MessageControllerFunc(nil)) })
	both := &websocket.Upgrader{
		Controller:        websocket.ControllerFunc(testws.Echo),
		MessageController: websocket.MessageControllerFunc(testws.EchoMessages),
	}
	assert.PanicsWithValue(t, "websocket: the Upgrader has a Controller and a MessageController", func() {
		both.RegisterRoutes(http.NewServeMux(), "/")
	})
}

// A failure is reported even if OnClose panics after it.
func TestPanicOfOnCloseHidesNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.MessageController{OpenFunc: func(*websocket.Conn, *http.Request) (websocket.MessageHandler, error) {
			return &testws.MessageHandler{
				MessageFunc: func(int, []byte) error { return testws.ErrDatabase },
				CloseFunc:   func(error) { panic(errBoom) },
			}, nil
		}}
		client := wstest.DialRaw(t, websocket.NewMessages(ctrl), "/", nil)
		client.Send(wstest.Text("x"))
		client.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
		synctest.Wait()
		require.Len(t, ctrl.Told.All(), 1)
		assert.ErrorIs(t, ctrl.Told.All()[0], testws.ErrDatabase)
		assert.ErrorIs(t, ctrl.Told.All()[0], errBoom)
	})
}

// Open must return a handler or an error.
func TestOpenReturnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.MessageController{OpenFunc: func(*websocket.Conn, *http.Request) (websocket.MessageHandler, error) {
			return nil, nil
		}}
		client := wstest.DialRaw(t, websocket.NewMessages(ctrl), "/", nil)
		client.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
		synctest.Wait()
		require.Len(t, ctrl.Told.All(), 1)
		assert.ErrorContains(t, ctrl.Told.All()[0], "neither a MessageHandler nor an error")
	})
}

// manyTalents is a MessageController with all optional interfaces.
type manyTalents struct {
	testws.MessageController
	refused []string
}

func (*manyTalents) RegisterRoute(mux *http.ServeMux, pattern string, handler http.Handler) {
	mux.Handle("GET "+pattern+"/{name}", handler)
}
func (*manyTalents) CheckOrigin(r *http.Request) bool {
	return r.Header.Get("Origin") != "https://evil.test"
}
func (*manyTalents) CheckUpgrade(r *http.Request) error {
	if r.PathValue("name") == "nobody" {
		return &websocket.RefusedError{Status: http.StatusNotFound}
	}
	return nil
}
func (*manyTalents) Subprotocols(*http.Request) []string { return []string{"v2", "v1"} }
func (*manyTalents) UpgradeHeaders(*http.Request) http.Header {
	return http.Header{"X-Talent": {"many"}}
}
func (ctrl *manyTalents) OnUpgradeError(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	ctrl.refused = append(ctrl.refused, reason.Error())
	w.WriteHeader(status)
}

// A MessageController may have the optional interfaces of a Controller.
func TestMessageControllersHaveTheOptionalInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := new(manyTalents)
		ctrl.OpenFunc = func(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error) {
			name := r.PathValue("name")
			return websocket.MessageHandlerFunc(func(messageType int, p []byte) error {
				return conn.WriteMessage(messageType, fmt.Append(nil, name, ": ", string(p)))
			}), nil
		}
		mux := http.NewServeMux()
		upgrader := websocket.NewMessages(ctrl)
		upgrader.RegisterRoutes(mux, "/talk")
		server := wstest.Serve(t, mux)

		client := wstest.Dial(t, server, "/talk/ada", &wstest.Options{Subprotocols: []string{"v1"}})
		client.WriteText("hello")
		client.ExpectText("ada: hello")
		assert.Equal(t, "v1", client.Subprotocol())
		assert.Equal(t, "many", client.Response.Header.Get("X-Talent"))
		client.Close(websocket.CloseNormalClosure, "")

		evil := wstest.DialRefused(t, server, "/talk/ada", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
		assert.Equal(t, http.StatusForbidden, evil.StatusCode)
		nobody := wstest.DialRefused(t, server, "/talk/nobody", nil) //nolint:bodyclose // likewise
		assert.Equal(t, http.StatusNotFound, nobody.StatusCode)
		assert.Len(t, ctrl.refused, 2)
		require.NoError(t, upgrader.Shutdown(t.Context()))
		assert.Equal(t, uint64(1), upgrader.Stats().Upgrades)
	})
}

// After Open, nothing of the library holds the request, unless OnError may still use it. That
// is so on every network, also while the connection waits for its second message.
func TestMessagesDoNotHoldTheRequest(t *testing.T) {
	for _, handlesErrors := range []bool{false, true} {
		t.Run(fmt.Sprint(handlesErrors), func(t *testing.T) {
			var original, upgraded weak.Pointer[http.Request]
			open := func(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error) {
				upgraded = weak.Make(r)
				return testws.EchoMessages(conn, r)
			}
			u := websocket.NewMessages(websocket.MessageControllerFunc(open))
			if handlesErrors {
				u = websocket.NewMessages(&testws.MessageController{OpenFunc: open})
			}
			server := testws.TCP.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				original = weak.Make(r)
				u.ServeHTTP(w, r)
			}))
			client := wstest.Dial(t, server, "/", nil)
			client.WriteText("hello")
			client.ExpectText("hello")
			released := func() bool {
				runtime.GC()
				return original.Value() == nil && upgraded.Value() == nil
			}
			if handlesErrors {
				assert.Never(t, released, 50*time.Millisecond, 10*time.Millisecond)
				assert.NotNil(t, upgraded.Value())
			} else {
				assert.Eventually(t, released, 20*time.Second, 10*time.Millisecond)
			}
			client.WriteText("again")
			client.ExpectText("again")
			client.Close(websocket.CloseNormalClosure, "")
		})
	}
}

// A connection that was upgraded as the Upgrader shut down is not opened.
func TestMessagesAreNotOpenedAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.MessageController{OpenFunc: func(*websocket.Conn, *http.Request) (websocket.MessageHandler, error) {
			t.Error("it was opened")
			return nil, nil
		}}
		u := websocket.NewMessages(ctrl)
		u.Observer = &websocket.Observer{Opened: func(*websocket.Conn) {
			go func() { _ = u.Shutdown(context.Background()) }()
			synctest.Wait()
		}}
		client := wstest.DialRaw(t, u, "/", nil)
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		synctest.Wait()
		assert.Empty(t, ctrl.Told.All())
	})
}

// With ServeInHandler, the handler returns once the connection is closed. A runtime.Goexit
// goes on then.
func TestMessagesInTheHandler(t *testing.T) {
	for _, exits := range []bool{false, true} {
		t.Run(fmt.Sprint(exits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctrl := &testws.MessageController{OpenFunc: func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
					return websocket.MessageHandlerFunc(func(messageType int, p []byte) error {
						if exits {
							runtime.Goexit()
						}
						return conn.WriteMessage(messageType, p)
					}), nil
				}}
				u := websocket.NewMessages(ctrl)
				u.ServeInHandler = true
				u.ParkAfter = time.Millisecond // it has no effect
				var events testws.ErrorList
				handler := &testws.Parkable{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() { events.Add(fmt.Errorf("returned with %d open", u.Stats().Open)) }()
					u.ServeHTTP(w, r)
					events.Add(errors.New("normally"))
				})}
				client := wstest.DialRaw(t, handler, "/", nil)
				time.Sleep(time.Second)
				client.Send(wstest.Text("a"))
				if exits {
					client.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
				} else {
					client.Expect(wstest.Text("a"))
					synctest.Wait()
					assert.Empty(t, events.All(), "the handler has not returned")
					client.Send(wstest.Close(1000, ""))
					client.ExpectClose(1000, "")
				}
				testws.AwaitEnd(t, u)
				synctest.Wait()
				assert.Zero(t, handler.Parked.Load())
				if exits {
					assert.EqualError(t, errors.Join(events.All()...), "returned with 0 open")
					assert.Len(t, ctrl.Told.All(), 1)
				} else {
					assert.EqualError(t, errors.Join(events.All()...), "normally\nreturned with 0 open")
				}
			})
		})
	}
}

// A connection over a plain socket that is quiet has no goroutine. Its messages are handled all the
// same, and at the end nothing is left. Over TLS, it keeps its goroutine.
func TestQuietConnectionsHaveNoGoroutine(t *testing.T) {
	if !poller.Exists {
		t.Skip("this system has no poller")
	}
	const many = 100
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		var opened, closed atomic.Int64
		u := websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
			opened.Add(1)
			return &testws.MessageHandler{
				MessageFunc: conn.WriteMessage,
				CloseFunc: func(err error) {
					assert.ErrorIs(t, err, websocket.ErrShutdown)
					closed.Add(1)
				},
			}, nil
		}))
		u.ParkAfter = 20 * time.Millisecond
		server := serve(u)
		var clients []*wstest.Raw
		for range many {
			clients = append(clients, wstest.DialRaw(t, server, "/", nil))
		}
		for round := range 3 {
			for _, client := range clients {
				client.Send(wstest.Text(fmt.Sprint("round ", round)))
				client.Expect(wstest.Text(fmt.Sprint("round ", round)))
			}
			loops := func() int { return strings.Count(goroutines(), ".ReadOrPark(") }
			if strings.HasPrefix(server.(*httptest.Server).URL, "https") { //nolint:errcheck // it is one
				time.Sleep(100 * time.Millisecond)
				assert.Equal(t, many, loops())
			} else {
				assert.Eventually(t, func() bool { return loops() == 0 }, 20*time.Second, 10*time.Millisecond)
			}
		}
		stopped := make(chan error, 1)
		go func() { stopped <- u.Shutdown(context.Background()) }()
		for _, client := range clients {
			client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
			client.Send(wstest.Close(websocket.CloseGoingAway, ""))
		}
		assert.NoError(t, <-stopped)
		assert.Equal(t, int64(many), opened.Load())
		assert.Equal(t, int64(many), closed.Load())
	}, testws.TCP, testws.TLS)
}

// goroutines returns the stacks of all goroutines.
func goroutines() string {
	b := make([]byte, 16<<20)
	return string(b[:runtime.Stack(b, true)])
}

// CloseRead starts no second reader of the connection.
func TestCloseReadOfAMessageController(t *testing.T) {
	tests := []struct {
		name string
		act  func(client *wstest.Raw, stop func())
		code int
		told []error
	}{
		{name: "a message", act: func(client *wstest.Raw, _ func()) { client.Send(wstest.Text("x")) }, code: 1008},
		{name: "the peer closes", act: func(client *wstest.Raw, _ func()) { client.Send(wstest.Close(3000, "")) }, code: 3000},
		{name: "the context ends", act: func(_ *wstest.Raw, stop func()) { stop() }, code: 1011, told: []error{testws.ErrDatabase}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				ended := make(chan error, 1)
				ctrl := &testws.MessageController{OpenFunc: func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
					closed := conn.CloseRead(ctx)
					assert.Equal(t, closed, conn.CloseRead(ctx), "a second call")
					conn.Go(func(context.Context) error {
						<-closed.Done()
						ended <- context.Cause(closed)
						return nil
					})
					return websocket.MessageHandlerFunc(func(int, []byte) error {
						t.Error("a message was delivered")
						return nil
					}), nil
				}}
				u := websocket.NewMessages(ctrl)
				client := wstest.DialRaw(t, u, "/", nil)
				client.Send(wstest.Ping("x"))
				client.Expect(wstest.Pong("x"))
				tt.act(client, func() { stop(testws.ErrDatabase) })
				frame, err := client.Receive()
				require.NoError(t, err)
				assert.Equal(t, tt.code, frame.CloseCode(), frame.String())
				_, _ = client.Write(wstest.Close(1000, "").Bytes())
				testws.AwaitEnd(t, u)
				assert.Error(t, <-ended)
				require.Len(t, ctrl.Told.All(), len(tt.told))
				for i, want := range tt.told {
					assert.ErrorIs(t, ctrl.Told.All()[i], want)
				}
			})
		})
	}
}
