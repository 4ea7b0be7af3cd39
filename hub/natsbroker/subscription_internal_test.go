package natsbroker

import (
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// Subscriptions of rooms without members are deleted.
func TestForgottenRooms(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	closed := make(chan struct{})
	nc, err := nats.Connect(s.ClientURL(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	require.NoError(t, err)
	defer func() {
		nc.Close()
		<-closed
	}()
	b, err := New(nc, Options{})
	require.NoError(t, err)
	b.Open(func(hub.Topic, []byte) {})
	for i := range 100 {
		room := hub.Room(string(rune('a' + i)))
		require.NoError(t, b.Subscribe(room))
		if i%2 == 0 { // this one is subscribed before it ends
			require.Eventually(t, func() bool { return nc.NumSubscriptions() == 2 }, 20*time.Second, time.Millisecond)
		}
		require.NoError(t, b.Unsubscribe(room))
		require.Eventually(t, func() bool { return nc.NumSubscriptions() == 1 }, 20*time.Second, time.Millisecond)
	}
	require.NoError(t, b.Close())
	require.Len(t, b.subjects, 1, "what is for everyone")
}
