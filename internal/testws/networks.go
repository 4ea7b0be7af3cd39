package testws

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/goyave-contrib/websocket/wstest"
)

// A Network connects a client with the endpoint under test.
type Network struct {
	name   string
	bubble bool // run the test in a bubble of synctest
	start  func(t *testing.T, handler http.Handler) any
}

// The networks of the tests. Bubble is Memory with the fake clock of synctest.
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

// Networks are the networks of most tests.
var Networks = []Network{Bubble, TCP, TLS}

// Serve serves an endpoint on the network until the end of the test. It returns the server
// for wstest to dial.
func (n Network) Serve(t *testing.T, handler http.Handler) any { return n.start(t, handler) }

// ForEach runs a test once for each network.
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

// OnNetworks is ForEach for tests that only need the network's Serve method.
func OnNetworks(t *testing.T, test func(t *testing.T, serve func(http.Handler) any), networks ...Network) {
	ForEach(t, networks, func(t *testing.T, n Network) {
		test(t, func(handler http.Handler) any { return n.Serve(t, handler) })
	})
}

// OnEveryNetwork is OnNetworks for Networks.
func OnEveryNetwork(t *testing.T, test func(t *testing.T, serve func(http.Handler) any)) {
	OnNetworks(t, test, Networks...)
}
