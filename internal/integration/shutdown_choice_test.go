package integration_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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

var errRestart = websocket.NewCloseError(websocket.CloseServiceRestart, "back in a minute")

// restart is the error of a controller that chooses another code than 1001.
func restart(err error) error {
	if errors.Is(err, websocket.ErrShutdown) {
		return errRestart
	}
	return err
}

// choosers are controllers that choose another code, by how they notice the shutdown.
var choosers = map[string]func(conn *websocket.Conn, r *http.Request) error{
	"from the context": func(conn *websocket.Conn, _ *http.Request) error {
		<-conn.Context().Done()
		return restart(context.Cause(conn.Context()))
	},
	"from the request's context, with a reader beside": func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(context.Context) error { return testws.ReadLoop(testws.Wrapped)(conn, r) })
		<-r.Context().Done()
		return restart(context.Cause(r.Context()))
	},
	"from the context of CloseRead": func(conn *websocket.Conn, _ *http.Request) error {
		ctx := conn.CloseRead(context.Background())
		<-ctx.Done()
		return restart(context.Cause(ctx))
	},
	"from a read": func(conn *websocket.Conn, r *http.Request) error {
		return restart(testws.ReadLoop(testws.Wrapped)(conn, r))
	},
	"from a read that has begun within a message": func(conn *websocket.Conn, _ *http.Request) error {
		for {
			_, r, err := conn.NextReader()
			if err != nil {
				return restart(err)
			}
			_, _ = r.Read(make([]byte, 1))
		}
	},
	"from a read with the context": func(conn *websocket.Conn, r *http.Request) error {
		for {
			if _, _, err := conn.ReadSliceContext(r.Context()); err != nil {
				return restart(err)
			}
		}
	},
	"in a function of the connection": func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(ctx context.Context) error {
			<-ctx.Done()
			return restart(context.Cause(ctx))
		})
		return testws.ReadLoop(testws.Wrapped)(conn, r)
	},
	"in a function of the connection, for which Serve waits": func(conn *websocket.Conn, r *http.Request) error {
		chosen := make(chan struct{})
		conn.Go(func(ctx context.Context) error {
			defer close(chosen)
			<-ctx.Done()
			return restart(context.Cause(ctx))
		})
		err := testws.ReadLoop(testws.Wrapped)(conn, r)
		<-chosen
		return err
	},
	"after a moment": func(conn *websocket.Conn, _ *http.Request) error {
		<-conn.Context().Done()
		time.Sleep(20 * time.Millisecond)
		return restart(context.Cause(conn.Context()))
	},
	"having asked again and again": func(conn *websocket.Conn, _ *http.Request) error {
		for conn.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return restart(context.Cause(conn.Context()))
	},
}

// The close frame that a controller chooses when the server shuts down is sent, each time.
func TestChosenEndingCountsAtShutdown(t *testing.T) {
	for name, serve := range choosers {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, network func(http.Handler) any) {
				const clients = 100
				var served sync.WaitGroup
				served.Add(clients)
				ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
					served.Done()
					return serve(conn, r)
				}}
				u := websocket.New(ctrl)
				target := network(u)
				raws := make([]*wstest.Raw, clients)
				for i := range raws {
					raws[i] = wstest.DialRaw(t, target, "/", &wstest.Options{Timeout: time.Minute})
					if name != "from the context of CloseRead" {
						raws[i].Send(wstest.Text("a message"))
					}
				}
				served.Wait()
				var told sync.WaitGroup
				for _, client := range raws {
					told.Go(func() {
						frame, err := client.Receive()
						assert.NoError(t, err)
						assert.Equal(t, websocket.CloseServiceRestart, frame.CloseCode())
						client.Send(wstest.Close(websocket.CloseServiceRestart, ""))
					})
				}
				require.NoError(t, u.Shutdown(t.Context()))
				told.Wait()
				assert.EqualValues(t, clients, u.Stats().CloseSent[websocket.CloseServiceRestart])
				assert.Empty(t, ctrl.Told.All())
			})
		})
	}
}

// The connections end one after the other, so that each is the only one that is shut down.
func TestChosenEndingIsNoRace(t *testing.T) {
	served := make(chan struct{})
	for range 1000 {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			served <- struct{}{}
			return choosers["from the context"](conn, r)
		}))
		u.Logger = testws.Silent
		network := httptest.NewServer(u)
		client := wstest.DialRaw(t, network, "/", nil)
		<-served
		go func() { assert.NoError(t, u.Shutdown(context.Background())) }()
		client.ExpectClose(websocket.CloseServiceRestart, "back in a minute")
		client.Send(wstest.Close(websocket.CloseServiceRestart, ""))
		client.ExpectEnd()
		network.Close()
	}
}

// When the close frame is sent, and which.
func TestWhenShutdownIsTold(t *testing.T) {
	chooseAfter := func(d time.Duration) func(*websocket.Conn, *http.Request) error {
		return func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			time.Sleep(d)
			return errRestart
		}
	}
	hang := func(*websocket.Conn, *http.Request) error {
		time.Sleep(20 * time.Second)
		return errRestart
	}
	for _, tc := range []struct {
		name    string
		serve   func(conn *websocket.Conn, r *http.Request) error
		options websocket.Options
		bound   time.Duration // of Shutdown; 0 for none
		want    time.Duration // until the close frame is sent
		code    int
		reply   time.Duration // when another message comes before; 0 for none
	}{
		{name: "a controller that reads", serve: testws.ReadLoop(testws.Wrapped), code: 1001},
		{name: "a controller that reads, and has used its context", serve: func(conn *websocket.Conn, r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			<-ctx.Done()
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}, code: 1001},
		{name: "a controller that waits for its context", serve: func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.Context().Done()
			return nil
		}, code: 1001},
		{name: "one that chooses at once", serve: chooseAfter(0), code: 1012},
		{name: "one that chooses just in time", serve: chooseAfter(3*time.Second - 1), want: 3*time.Second - 1, code: 1012},
		{name: "one that chooses too late", serve: chooseAfter(3*time.Second + 1), want: 3 * time.Second, code: 1001},
		{name: "one that is busy, and answers first", serve: func(conn *websocket.Conn, r *http.Request) error {
			time.Sleep(2 * time.Second)
			if err := conn.WriteMessage(websocket.TextMessage, []byte("done")); err != nil {
				return err
			}
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}, want: time.Second, code: 1001, reply: time.Second},
		{name: "one that lets a function choose", serve: choosesInFunction(0), code: 1012},
		{name: "one that lets a function choose just in time", serve: choosesInFunction(3*time.Second - 1), want: 3*time.Second - 1, code: 1012},
		{name: "one that lets a function choose too late", serve: choosesInFunction(3*time.Second + 1), want: 3 * time.Second, code: 1001},
		{name: "one whose function chooses too late, with little time", serve: choosesInFunction(3 * time.Second), bound: 4 * time.Second, want: 2 * time.Second, code: 1001},
		{name: "one that chooses as well as its function", serve: func(conn *websocket.Conn, r *http.Request) error {
			_ = choosesInFunction(time.Second)(conn, r)
			return websocket.NewCloseError(4000, "of Serve")
		}, want: time.Second, code: 4000},
		{name: "one whose function writes before it returns", serve: func(conn *websocket.Conn, r *http.Request) error {
			conn.Go(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(2 * time.Second)
				return conn.WriteMessage(websocket.TextMessage, []byte("done"))
			})
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}, want: 2 * time.Second, code: 1001, reply: 2 * time.Second},
		{name: "one with a reader of the library", serve: func(conn *websocket.Conn, _ *http.Request) error {
			<-conn.CloseRead(context.Background()).Done()
			return nil
		}, code: 1001},
		{name: "one that hangs", serve: hang, want: 3 * time.Second, code: 1001},
		{name: "one that hangs, with little time", serve: hang, bound: 4 * time.Second, want: 2 * time.Second, code: 1001},
		{name: "one that hangs, when nothing waits for peers", serve: hang, options: websocket.Options{CloseTimeout: -1}, want: 3 * time.Second, code: 1001},
		{name: "one that chooses, when nothing waits for peers", serve: chooseAfter(time.Second), options: websocket.Options{CloseTimeout: -1}, want: time.Second, code: 1012},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := websocket.New(websocket.ControllerFunc(tc.serve))
				u.Options = tc.options
				u.Logger = testws.Silent
				client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: time.Hour})
				time.Sleep(time.Second)
				ctx := t.Context()
				if tc.bound > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.bound)
					defer cancel()
				}
				start := time.Now()
				down := make(chan struct{})
				go func() {
					defer close(down)
					_ = u.Shutdown(ctx)
				}()
				if tc.reply > 0 {
					client.Expect(wstest.Text("done"))
					testws.AssertElapsed(t, start, tc.reply)
				}
				frame, err := client.Receive()
				require.NoError(t, err)
				assert.Equal(t, tc.code, frame.CloseCode())
				testws.AssertElapsed(t, start, tc.want)
				if tc.options.CloseTimeout == 0 { // it is awaited
					client.Send(wstest.Close(tc.code, ""))
				}
				client.ExpectEnd()
				<-down
				testws.AwaitEnd(t, u)
			})
		})
	}
}

// choosesInFunction is a Serve that reads until an error, beside a function that chooses the ending
// some time after the shutdown has begun.
func choosesInFunction(after time.Duration) func(conn *websocket.Conn, r *http.Request) error {
	return func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(after)
			return errRestart
		})
		return testws.ReadLoop(testws.Wrapped)(conn, r)
	}
}

// A shutdown that was begun by BeginShutdown alone waits for a function no longer.
func TestFunctionsAreAwaitedNoLongerThanServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e websocket.Endpoint
		server := wstest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := e.Accept(w, r, websocket.Handshake{})
			if assert.NoError(t, err) {
				e.Run(conn, func() error {
					conn.Go(func(context.Context) error { time.Sleep(time.Minute); return errRestart })
					<-conn.Context().Done()
					return nil
				}, nil)
			}
		}))
		client := wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: time.Hour})
		synctest.Wait()
		start := time.Now()
		e.BeginShutdown()
		client.ExpectClose(1001, "Server shutting down")
		testws.AssertElapsed(t, start, 3*time.Second)
		client.Send(wstest.Close(1001, ""))
		require.NoError(t, e.Shutdown(t.Context()))
		testws.AssertElapsed(t, start, time.Minute)
	})
}

// The error of a read during a shutdown says so in every way of asking.
func TestReadsSayThatTheServerShutsDown(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, network func(http.Handler) any) {
		errs := make(chan error, 2)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for range 2 {
				_, _, err := conn.ReadMessage()
				errs <- err
			}
			assert.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("goodbye")))
			return nil
		}))
		client := wstest.DialRaw(t, network(u), "/", nil)
		client.Send(wstest.Ping("")) // it reads when the pong is there
		client.Expect(wstest.Pong(""))
		down := make(chan error, 1)
		go func() { down <- u.Shutdown(t.Context()) }()
		err := <-errs
		require.ErrorIs(t, err, websocket.ErrShutdown)
		assert.True(t, websocket.IsCloseError(err))
		assert.Equal(t, websocket.CloseGoingAway, websocket.CloseStatus(err))
		assert.False(t, websocket.IsDisconnect(err))
		assert.Equal(t, err, <-errs, "each later one")
		client.Expect(wstest.Text("goodbye"))
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		client.Send(wstest.Close(1001, ""))
		require.NoError(t, <-down)
	})
}
