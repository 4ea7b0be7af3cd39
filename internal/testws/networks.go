package testws

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/goyave-contrib/websocket/wstest"
)

// A Network is what lies between a client and the endpoint under test.
type Network struct {
	name   string
	bubble bool // the test runs in a bubble of synctest
	start  func(t *testing.T, handler http.Handler) any
}

// The networks of the tests. Bubble is memory as well, where time is not real.
var (
	Bubble = Network{name: "in a bubble", bubble: true, start: inMemory}
	Memory = Network{name: "in memory", start: inMemory}
	TCP    = Network{name: "over TCP", start: serverOf(httptest.NewServer)}
	TLS    = Network{name: "over TLS", start: serverOf(httptest.NewTLSServer)}
)

func inMemory(t *testing.T, handler http.Handler) any { return wstest.Serve(t, handler) }

func serverOf(start func(http.Handler) *httptest.Server) func(*testing.T, http.Handler) any {
	return func(t *testing.T, handler http.Handler) any {
		server := start(handler)
		t.Cleanup(server.Close)
		return server
	}
}

// Networks are those that most tests use.
var Networks = []Network{Bubble, TCP, TLS}

// Serve puts an endpoint on the network, until the end of the test, and returns what
// wstest dials.
func (n Network) Serve(t *testing.T, handler http.Handler) any { return n.start(t, handler) }

// ForEach runs a test once for each of the networks.
func ForEach(t *testing.T, networks []Network, test func(t *testing.T, n Network)) {
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			if n.bubble {
				synctest.Test(t, func(t *testing.T) { test(t, n) })
			} else {
				test(t, n)
			}
		})
	}
}

// OnNetworks is ForEach for tests that only put something on the network: their serve
// is Serve.
func OnNetworks(t *testing.T, test func(t *testing.T, serve func(http.Handler) any), networks ...Network) {
	ForEach(t, networks, func(t *testing.T, n Network) {
		test(t, func(handler http.Handler) any { return n.Serve(t, handler) })
	})
}

// OnEveryNetwork is OnNetworks for Networks.
func OnEveryNetwork(t *testing.T, test func(t *testing.T, serve func(http.Handler) any)) {
	OnNetworks(t, test, Networks...)
}
