package redisbroker_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/stretchr/testify/require"
)

// BenchmarkAppend appends to one room from many goroutines.
func BenchmarkAppend(b *testing.B) {
	client := newClient(startServer(b).addr())
	broker, err := redisbroker.New(client, redisbroker.Options{})
	require.NoError(b, err)
	broker.Open(func(hub.Topic, []byte) {})
	payload := make([]byte, 200)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := broker.Append(b.Context(), hub.Room("x"), payload, hub.Keep{Messages: 1000}); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	require.NoError(b, broker.Close())
	require.NoError(b, client.Close())
}

// BenchmarkPublish publishes short messages to one room.
func BenchmarkPublish(b *testing.B) {
	client := newClient(startServer(b).addr())
	broker, err := redisbroker.New(client, redisbroker.Options{Outgoing: 1 << 30})
	require.NoError(b, err)
	broker.Open(func(hub.Topic, []byte) {})
	payload := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, broker.Publish(hub.Room("x"), payload))
	}
	require.NoError(b, broker.Close())
	require.NoError(b, client.Close())
}
