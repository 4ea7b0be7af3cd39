// Package consumer is what an application with natsbroker imports.
package consumer

import (
	"errors"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go"
)

// connect is what such an application does first.
func connect(url string) (*hub.Hub, error) {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.NoEcho(), nats.Timeout(5*time.Second))
	if err != nil {
		return nil, err
	}
	broker, err := natsbroker.New(nc, natsbroker.Options{Prefix: "consumer"})
	if err != nil {
		nc.Close()
		return nil, err
	}
	return hub.New(hub.Options{Broker: broker}), nil
}

// There is no server, which the application is told.
func TestConnect(t *testing.T) {
	if _, err := connect("nats://127.0.0.1:1"); !errors.Is(err, nats.ErrNoServers) {
		t.Fatalf("got %v", err)
	}
}
