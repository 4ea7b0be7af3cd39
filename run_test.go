package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
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

// pooledContext is a framework's context, which is reused for another request when the
// handler has returned.
type pooledContext struct {
	Writer  http.ResponseWriter
	Request *http.Request
	user    string
}

// pooledRouter is a framework that reuses its contexts, the last one first, as with a
// sync.Pool.
type pooledRouter struct {
	handle func(c *pooledContext)

	mu   sync.Mutex
	free []*pooledContext
	made int
}

func (p *pooledRouter) get() *pooledContext {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		c := p.free[last]
		p.free = p.free[:last]
		return c
	}
	p.made++
	return &pooledContext{}
}

func (p *pooledRouter) put(c *pooledContext) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}

func (p *pooledRouter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := p.get()
	defer p.put(c)
	*c = pooledContext{Writer: w, Request: r, user: r.URL.Query().Get("user")}
	p.handle(c)
}

// A Serve on the handler's goroutine may use the context of a framework that reuses it as
// soon as the handler returns.
func TestServeKeepsTheContextOfTheFramework(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		var endpoint websocket.Endpoint
		router := &pooledRouter{handle: func(c *pooledContext) {
			conn, err := endpoint.Accept(c.Writer, c.Request, websocket.Handshake{
				Refuse: func(status int, _ error) { c.Writer.WriteHeader(status) },
			})
			if err != nil {
				return
			}
			endpoint.Serve(conn, func() error {
				for {
					if _, _, err := conn.ReadMessage(); err != nil {
						return err
					}
					if err := conn.WriteMessage(websocket.TextMessage, []byte("you are "+c.user)); err != nil {
						return err
					}
				}
			}, nil)
		}}
		server := serve(router)
		const users = 5
		var clients []*wstest.Client
		for i := range users {
			clients = append(clients, wstest.Dial(t, server, fmt.Sprint("/?user=", i), nil))
		}
		for i, client := range clients {
			client.WriteText("who am I?")
			client.ExpectText(fmt.Sprint("you are ", i))
		}
		assert.Equal(t, users, router.made, "nobody's context was given to somebody else")
		for _, client := range clients {
			client.Close(websocket.CloseNormalClosure, "")
		}
		require.NoError(t, endpoint.Shutdown(t.Context()))
		require.Eventually(t, func() bool {
			router.mu.Lock()
			defer router.mu.Unlock()
			return len(router.free) == users
		}, 20*time.Second, time.Millisecond, "the handlers have returned")

		client := wstest.DialRefused(t, server, "/?user=late", nil) //nolint:bodyclose // it is in memory
		assert.Equal(t, http.StatusServiceUnavailable, client.StatusCode)
		assert.Equal(t, users, router.made)
	})
}

// throttle is a middleware that admits one request at a time.
func throttle(next http.Handler) http.Handler {
	slot := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
			next.ServeHTTP(w, r)
		default:
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
}

// Middleware that holds something until the handler returns holds it as long as the
// connection with ServeInHandler, and only during the upgrade without.
func TestServeInHandlerIsThrottled(t *testing.T) {
	for _, inHandler := range []bool{true, false} {
		t.Run(fmt.Sprint(inHandler), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
				upgrader.ServeInHandler = inHandler
				server := wstest.Serve(t, throttle(upgrader))
				first := wstest.Dial(t, server, "/", nil)
				synctest.Wait() // the handler has returned, or Serve waits in it
				if inHandler {
					require.Equal(t, http.StatusTooManyRequests, testws.DialRefused(t, server, "/", nil).Status)
				} else {
					wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
				}
				first.WriteText("still there")
				first.ExpectText("still there")
				first.Close(websocket.CloseNormalClosure, "")
				synctest.Wait()
				second := wstest.Dial(t, server, "/", nil)
				require.NoError(t, second.NetConn().Close()) // which frees the slot as well
				synctest.Wait()
				wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
			})
		})
	}
}

// The request is complete until the handler returns, and its context is the connection's.
func TestServeInHandlerHasTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var returned bool
		ctrl := websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			assert.False(t, returned)
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					assert.ErrorIs(t, context.Cause(r.Context()), err)
					return err
				}
				answer := fmt.Sprint(r.PathValue("room"), r.Context().Value(key{}), r.Context().Err())
				if err := conn.WriteMessage(websocket.TextMessage, []byte(answer)); err != nil {
					return err
				}
			}
		})
		upgrader := websocket.New(ctrl)
		upgrader.ServeInHandler = true
		upgrader.PingInterval = -1
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{room}", func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), key{}, " of Ada "), time.Second)
			defer cancel()
			upgrader.ServeHTTP(w, r.WithContext(ctx))
			returned = true
		})
		listener := wstest.Listen()
		server := &http.Server{Handler: mux, ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, IdleTimeout: time.Second}
		go func() { _ = server.Serve(listener) }()
		defer func() { _ = server.Close() }()
		client := testws.DialHTTP(t, listener)
		lobby := testws.UpgradeRequest(func(r *http.Request) { r.URL.Path = "/lobby" })
		require.Equal(t, http.StatusSwitchingProtocols, client.Do(lobby).Status)
		for range 3 {
			time.Sleep(time.Minute) // no deadline of the server's, or of the request's context, is the connection's
			client.Send(wstest.Text("where?").Bytes())
			client.ExpectFrames(wstest.Text("lobby of Ada <nil>"))
		}
		assert.False(t, returned)
		client.Send(wstest.Close(websocket.CloseGoingAway, "").Bytes())
		client.ExpectFrames(wstest.Close(websocket.CloseGoingAway, ""))
		synctest.Wait()
		assert.True(t, returned)
	})
}

// The shutdown of the http.Server does not wait for hijacked connections, whichever
// goroutine serves them. The Upgrader's does, and the handler returns after it.
func TestShutdownOfServeInHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
			err := testws.Echo(conn, r)
			assert.ErrorIs(t, err, websocket.ErrShutdown)
			time.Sleep(time.Second)
			return err
		}}
		upgrader := websocket.New(ctrl)
		upgrader.ServeInHandler = true
		var returned time.Time
		listener := wstest.Listen()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			upgrader.ServeHTTP(w, r)
			returned = time.Now()
		})}
		go func() { _ = server.Serve(listener) }()
		client := testws.DialHTTP(t, listener)
		require.Equal(t, http.StatusSwitchingProtocols, client.Do(testws.UpgradeRequest(nil)).Status)
		talk := func() {
			client.Send(wstest.Text("hello").Bytes())
			client.ExpectFrames(wstest.Text("hello"))
		}
		talk()

		start := time.Now()
		require.NoError(t, server.Shutdown(t.Context()))
		require.Zero(t, time.Since(start))
		talk()
		require.True(t, returned.IsZero())

		down := make(chan error)
		go func() { down <- upgrader.Shutdown(t.Context()) }()
		client.ExpectFrames(wstest.Close(websocket.CloseGoingAway, "Server shutting down"))
		client.Send(wstest.Close(websocket.CloseGoingAway, "").Bytes())
		require.NoError(t, <-down)
		require.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		require.Equal(t, start.Add(time.Second), returned)
		require.Empty(t, ctrl.Told.All())
	})
}

// A connection that is upgraded just before the shutdown is not served, and the handler
// returns.
func TestServeAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var endpoint websocket.Endpoint
		returned := make(chan struct{})
		server := wstest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			conn, err := endpoint.Accept(w, r, websocket.Handshake{Refuse: func(status int, _ error) { w.WriteHeader(status) }})
			if !assert.NoError(t, err) {
				return
			}
			endpoint.BeginShutdown()
			endpoint.Serve(conn, func() error {
				assert.Fail(t, "it is served")
				return nil
			}, func(err error) { assert.NoError(t, err) })
			assert.Zero(t, endpoint.Stats().Open)
		}))
		client := wstest.Dial(t, server, "/", nil)
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		<-returned
		require.NoError(t, endpoint.Shutdown(t.Context()))
	})
}

// However Serve fails in the handler, net/http and the middleware around it see a handler
// that returns.
func TestServeInHandlerFails(t *testing.T) {
	failed := errors.New("out of coffee")
	for _, tt := range []struct {
		name   string
		serve  func()
		report func()
		goexit bool
		told   func(t *testing.T, err error)
	}{
		{name: "by a panic", serve: func() { panic(failed) }, told: func(t *testing.T, err error) {
			var p *websocket.PanicError
			require.ErrorAs(t, err, &p)
			require.ErrorIs(t, err, failed)
			require.Contains(t, string(p.Stack), "TestServeInHandlerFails")
		}},
		{name: "by the panic that stops a handler", serve: func() { panic(http.ErrAbortHandler) }, told: func(t *testing.T, err error) {
			require.ErrorIs(t, err, http.ErrAbortHandler)
		}},
		{name: "by Goexit", serve: runtime.Goexit, goexit: true, told: func(t *testing.T, err error) {
			var p *websocket.PanicError
			require.ErrorAs(t, err, &p)
			require.Nil(t, p.Value)
		}},
		{name: "and OnError panics", serve: func() { panic(failed) }, report: func() { panic("again") }, told: func(t *testing.T, err error) {
			require.ErrorIs(t, err, failed)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctrl := &testws.Controller{
					ServeFunc: func(*websocket.Conn, *http.Request) error { tt.serve(); return nil },
					ErrorFunc: func(*http.Request, error) {
						if tt.report != nil {
							tt.report()
						}
					},
				}
				upgrader := websocket.New(ctrl)
				upgrader.ServeInHandler = true
				upgrader.MaxConnections = 1
				upgrader.Logger = testws.Silent
				var said bytes.Buffer
				var unwound, returned int
				listener := wstest.Listen()
				server := &http.Server{ErrorLog: log.New(&said, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						unwound++
						assert.Nil(t, recover())
					}()
					upgrader.ServeHTTP(w, r)
					returned++
				})}
				go func() { _ = server.Serve(listener) }()
				defer func() { _ = server.Close() }()
				for i := range 2 {
					client := testws.DialHTTP(t, listener)
					require.Equal(t, http.StatusSwitchingProtocols, client.Do(testws.UpgradeRequest(nil)).Status)
					client.ExpectFrames(wstest.Close(websocket.CloseInternalServerErr, http.StatusText(http.StatusInternalServerError)))
					client.Send(wstest.Close(websocket.CloseInternalServerErr, "").Bytes())
					synctest.Wait()
					require.Equal(t, i+1, unwound)
					require.Len(t, ctrl.Told.All(), i+1)
					tt.told(t, ctrl.Told.All()[i])
					require.Zero(t, upgrader.Stats().Open)
				}
				require.Equal(t, tt.goexit, returned == 0)
				require.Empty(t, said.String())
				testws.RequireIdle(t, upgrader)
			})
		})
	}
}

// However a connection ends, its handler returns, and no goroutine of the bubble is left.
func TestServeInHandlerLeavesNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(conn *websocket.Conn, r *http.Request) error
		peer  func(client *wstest.Raw)
	}{
		{name: "the client hangs up", serve: testws.Echo, peer: func(client *wstest.Raw) { _ = client.Conn.Close() }},
		{name: "the connection is reset", serve: testws.Echo, peer: func(client *wstest.Raw) { wstest.Reset(client.Conn) }},
		{name: "the client is silent", serve: testws.Echo, peer: func(*wstest.Raw) {}},
		{name: "the client breaks the protocol", serve: testws.Echo, peer: func(client *wstest.Raw) {
			client.Send(wstest.Frame{Fin: true, Opcode: 3})
		}},
		{name: "Serve closes, and the client does not answer", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.Close(websocket.CloseNormalClosure, "")
		}, peer: func(*wstest.Raw) {}},
		{name: "a function of Conn.Go outlives Serve", serve: func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute)
				return nil
			})
			return nil
		}, peer: func(*wstest.Raw) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				upgrader := websocket.New(websocket.ControllerFunc(tt.serve))
				upgrader.ServeInHandler = true
				upgrader.Logger = testws.Silent
				returned := make(chan struct{})
				server := wstest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(returned)
					upgrader.ServeHTTP(w, r)
					assert.Zero(t, upgrader.Stats().Open, "it is over when the handler returns")
				}))
				tt.peer(wstest.DialRaw(t, server, "/", nil))
				select {
				case <-returned:
				case <-time.After(2 * time.Minute):
					require.Fail(t, "the handler has not returned")
				}
				testws.RequireIdle(t, upgrader)
			})
		})
	}
}
