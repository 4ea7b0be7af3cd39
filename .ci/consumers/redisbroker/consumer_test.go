// Package consumer is what an application with redisbroker imports.
package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
)

// connect is what such an application does first.
func connect(client redis.UniversalClient, told func(error)) (*hub.Hub, error) {
	broker, err := redisbroker.New(client, redisbroker.Options{Prefix: "consumer", OnOutage: told})
	if err != nil {
		return nil, err
	}
	return hub.New(hub.Options{Broker: broker}), nil
}

// There is no server, which the application is told.
func TestConnect(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialTimeout: time.Second})
	defer client.Close()
	told := make(chan error, 1)
	rooms, err := connect(client, func(err error) { told <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := <-told; err == nil {
		t.Fatal("the outage has no reason")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := rooms.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
