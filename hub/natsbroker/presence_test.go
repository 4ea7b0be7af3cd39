package natsbroker_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
)

func TestPresence(t *testing.T) {
	brokertest.TestPresence(t, func(t *testing.T) brokertest.Network {
		s := startJetStream(t)
		return func(t *testing.T) hub.Broker {
			return newJetStream(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
		}
	})
}
