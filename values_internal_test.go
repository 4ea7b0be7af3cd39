package websocket

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ownContext is a context of another package, which may have values.
type ownContext struct{ context.Context }

// Only contexts that can have no value of their own are left out, and the local address.
func TestValuesAreThoseOfTheContext(t *testing.T) {
	require.NotNil(t, canceler, "this release of Go has another context.WithCancel: see valuesOf")
	require.NotNil(t, valuer, "this release of Go has another context.WithValue: see valuesOf")
	type key int
	with := func(ctx context.Context, k key) context.Context { return context.WithValue(ctx, k, k+10) }
	cancelable := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		t.Cleanup(cancel)
		return ctx
	}
	located := func(ctx context.Context, at any) context.Context {
		return context.WithValue(ctx, http.LocalAddrContextKey, at)
	}
	local, another := &net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2}
	server := with(context.Background(), 1)
	request := cancelable(cancelable(located(server, local)))
	timed, cancelTimed := context.WithTimeout(request, time.Hour)
	defer cancelTimed()
	ended, cancel := context.WithCancelCause(request)
	cancel(nil)
	for name, test := range map[string]struct {
		ctx     context.Context
		want    context.Context // nil: it is a copy
		without bool            // the local address
	}{
		"values":                       {ctx: server, want: server},
		"of net/http":                  {ctx: request, want: server, without: true},
		"that has ended":               {ctx: ended, want: server, without: true},
		"that can be canceled":         {ctx: cancelable(cancelable(server)), want: server},
		"a timeout":                    {ctx: timed, want: timed},
		"values above":                 {ctx: with(with(request, 2), 3), without: true},
		"the same value above":         {ctx: with(request, 1), without: true},
		"values between":               {ctx: with(cancelable(with(cancelable(with(request, 2)), 3)), 4), without: true},
		"values of another above":      {ctx: ownContext{with(request, 2)}, want: ownContext{with(request, 2)}},
		"values above those":           {ctx: with(ownContext{request}, 2)},
		"cancel above those":           {ctx: cancelable(ownContext{request}), want: ownContext{request}},
		"without cancel":               {ctx: context.WithoutCancel(request), want: context.WithoutCancel(request)},
		"another address":              {ctx: cancelable(located(server, another)), want: located(server, another)},
		"another address above":        {ctx: with(located(request, another), 2)},
		"the local address twice":      {ctx: located(request, local), want: located(server, local), without: true},
		"nothing":                      {ctx: context.Background(), want: context.Background()},
		"nothing that can be canceled": {ctx: cancelable(context.Background()), want: context.Background()},
	} {
		t.Run(name, func(t *testing.T) {
			got, without := valuesOf(test.ctx, local)
			assert.Equal(t, test.without, without)
			if test.want != nil {
				assert.Equal(t, test.want, got)
			}
			for k := range key(5) {
				assert.Equal(t, test.ctx.Value(k), got.Value(k), "%d", k)
			}
			addr := got.Value(http.LocalAddrContextKey)
			if without {
				addr = local // as the connection's own context
			}
			assert.Equal(t, test.ctx.Value(http.LocalAddrContextKey), addr)
		})
	}
}

// What is left out is not in memory, and a chain of net/http alone is not copied.
func TestValuesCostNoMemory(t *testing.T) {
	local := &net.TCPAddr{}
	server := context.WithValue(context.Background(), http.ServerContextKey, new(http.Server))
	inner, cancel := context.WithCancel(context.WithValue(server, http.LocalAddrContextKey, local))
	defer cancel()
	outer, cancelOuter := context.WithCancel(inner)
	defer cancelOuter()
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = valuesOf(outer, local) }))
	above := context.WithValue(context.WithValue(outer, connKey{}, 1), connKey{}, 2)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = valuesOf(above, local) }), 2.0)
}

// The context of a connection has all values of the request's, of net/http and of middleware.
func TestContextHasTheValuesOfTheRequest(t *testing.T) {
	type key struct{}
	var before, after [3]any
	values := func(ctx context.Context) [3]any {
		return [3]any{ctx.Value(http.ServerContextKey), ctx.Value(http.LocalAddrContextKey), ctx.Value(key{})}
	}
	served := make(chan struct{})
	upgrader := New(ControllerFunc(func(_ *Conn, r *http.Request) error {
		after = values(r.Context())
		close(served)
		return nil
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), key{}, 1))
		before = values(r.Context())
		upgrader.ServeHTTP(w, r)
	}))
	defer server.Close()
	client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // a 101 has no body
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	<-served
	for i, value := range before {
		assert.NotNil(t, value)
		assert.Equal(t, value, after[i])
	}
}
