package natsbroker_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
)

func TestHistory(t *testing.T) {
	brokertest.TestHistory(t, func(t *testing.T) brokertest.Network {
		s := startJetStream(t)
		return func(t *testing.T) hub.Broker {
			return newJetStream(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Messages: 10_000})
		}
	})
}
