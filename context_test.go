package websocket_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connection returns a connection of a server, and its client.
func connection(parent context.Context, t *testing.T) (*websocket.Conn, *wstest.Raw) {
	conns := make(chan *websocket.Conn, 1)
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		conns <- conn
		return testws.Echo(conn, r)
	}))
	u.Logger = testws.Silent
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.ServeHTTP(w, r.WithContext(parent)) })
	client := wstest.DialRaw(t, handler, "/", nil)
	t.Cleanup(func() {
		_ = client.Conn.Close()
		testws.AwaitEnd(t, u)
	})
	return <-conns, client
}

type contextKey struct{}

// All calls return the same context, whenever the first one is.
func TestContextIsMadeWhenItIsNeeded(t *testing.T) {
	parent, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "of the request"))
	conn, client := connection(parent, t)
	cancel() // as net/http does when the handler returns
	ctx := conn.Context()
	require.NoError(t, ctx.Err())
	require.NoError(t, context.Cause(ctx))
	_, bounded := ctx.Deadline()
	assert.False(t, bounded)
	assert.Equal(t, "of the request", ctx.Value(contextKey{}))
	assert.Nil(t, ctx.Value("nothing"))
	assert.Equal(t, "websocket.Conn.Context", fmt.Sprint(ctx), "which looks at nothing that changes")
	assert.Equal(t, ctx.Done(), conn.Context().Done())
	found, ok := websocket.FromContext(context.WithoutCancel(ctx))
	assert.True(t, ok)
	assert.Same(t, conn, found)

	client.Send(wstest.Close(4000, "why"))
	<-ctx.Done()
	assert.Equal(t, context.Canceled, ctx.Err())
	assert.Equal(t, &websocket.CloseError{Code: 4000, Text: "why"}, context.Cause(ctx))
	assert.Equal(t, "of the request", ctx.Value(contextKey{}))
}

// A connection has all values of the request's context, and holds nothing of net/http that only ends it.
func TestConnectionHoldsTheValuesOfTheRequestAlone(t *testing.T) {
	type base struct{}
	type network struct{}
	conns := make(chan *websocket.Conn, 1)
	u := websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
		conns <- conn
		return websocket.MessageHandlerFunc(func(int, []byte) error { return nil }), nil
	}))
	freed := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runtime.SetFinalizer(r.Context(), func(context.Context) { close(freed) })
		u.ServeHTTP(w, r)
	}))
	server.Config.BaseContext = func(net.Listener) context.Context { return context.WithValue(t.Context(), base{}, "of the server") }
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, network{}, "of the network")
	}
	server.Start()
	defer server.Close()
	client, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	require.NoError(t, err)
	defer func() { _ = client.CloseNow() }()
	conn := <-conns
	require.Eventually(t, func() bool {
		runtime.GC()
		select {
		case <-freed:
			return true
		default:
			return false
		}
	}, 20*time.Second, 10*time.Millisecond)
	ctx := conn.Context()
	require.NoError(t, ctx.Err())
	assert.Equal(t, "of the server", ctx.Value(base{}))
	assert.Equal(t, "of the network", ctx.Value(network{}))
	assert.Same(t, server.Config, ctx.Value(http.ServerContextKey))
	assert.Equal(t, server.Listener.Addr(), ctx.Value(http.LocalAddrContextKey))
	require.NoError(t, client.Close(websocket.CloseNormalClosure, ""))
	testws.AwaitEnd(t, u)
}

func TestContextThatIsFirstUsedAfterItsEnd(t *testing.T) {
	conn, client := connection(t.Context(), t)
	client.Send(wstest.Close(4000, "why"))
	client.ExpectClose(4000, "")
	ctx := conn.Context()
	assert.Equal(t, context.Canceled, ctx.Err())
	assert.Equal(t, &websocket.CloseError{Code: 4000, Text: "why"}, context.Cause(ctx))
	<-ctx.Done()
}

// Package context recognizes the context as one of its own kind: derived contexts end at once
// with it, and need no goroutine.
func TestContextsDerivedFromTheConnections(t *testing.T) {
	conn, _ := connection(t.Context(), t)
	derived, cancel := context.WithCancel(conn.Context())
	defer cancel()
	require.NoError(t, conn.CloseNow())
	assert.Equal(t, context.Canceled, derived.Err())
	assert.ErrorIs(t, context.Cause(derived), net.ErrClosed)
}

// The context is used for the first time while the connection ends.
func TestContextIsUsedWhileTheConnectionEnds(t *testing.T) {
	for range 50 {
		conn, client := connection(t.Context(), t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				derived, cancel := context.WithCancel(conn.Context())
				defer cancel()
				<-derived.Done()
				assert.ErrorAs(t, context.Cause(derived), new(*websocket.CloseError))
			})
		}
		client.Send(wstest.Close(1000, ""))
		all.Wait()
	}
}
