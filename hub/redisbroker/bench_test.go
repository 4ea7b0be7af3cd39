package redisbroker_test

import (
	"fmt"
	"testing"
	"time"

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

// BenchmarkListPresence lists a room of 10,000 people on ten nodes.
func BenchmarkListPresence(b *testing.B) {
	client := newClient(startServer(b).addr())
	broker, err := redisbroker.New(client, redisbroker.Options{})
	require.NoError(b, err)
	broker.Open(func(hub.Topic, []byte) {})
	for n := range 10 {
		node := fmt.Sprint("node ", n)
		_, err := broker.RenewNode(b.Context(), node, time.Hour)
		require.NoError(b, err)
		var people []hub.PresenceEntry
		for i := range 1000 {
			people = append(people, hub.PresenceEntry{Key: fmt.Sprint("user", n, i), Value: []byte(`{"name":"Somebody"}`)})
		}
		require.NoError(b, broker.PutPresence(b.Context(), hub.Room("x"), node, 1, people))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.ListPresence(b.Context(), hub.Room("x")); err != nil {
			b.Error(err)
		}
	}
	if stats, err := client.InfoMap(b.Context(), "commandstats").Result(); err == nil {
		b.Log(stats["Commandstats"]["cmdstat_hgetall"])
	}
	require.NoError(b, broker.Close())
	require.NoError(b, client.Close())
}
