package natsbroker_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// A panic of receive goes to the connection's error handler. A panic of the handler is ignored. In
// both cases, later messages are received.
func TestPanicsOfOthers(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	var told atomic.Pointer[websocket.PanicError]
	handle := func(_ *nats.Conn, _ *nats.Subscription, err error) {
		var panicked *websocket.PanicError
		if errors.As(err, &panicked) {
			told.Store(panicked)
		}
		panic("of the error handler")
	}
	to := newNode(t, connect(t, s.ClientURL(), nats.ErrorHandler(handle)), natsbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	var panics atomic.Int32
	to.mu.Lock()
	to.hook = func() {
		if panics.Add(1) == 1 {
			panic("of the hub")
		}
	}
	to.mu.Unlock()
	require.NoError(t, from.Publish(room("x"), []byte("first")))
	require.NoError(t, from.Publish(room("x"), []byte("second")))
	to.await(t, "second")
	require.Equal(t, "of the hub", told.Load().Value)
	require.NoError(t, to.Close())
}
