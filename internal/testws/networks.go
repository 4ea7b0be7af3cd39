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

// OnNetworks runs a test once for each of the networks. The test's serve puts the
// endpoint under test on that network and returns what wstest dials.
func OnNetworks(t *testing.T, test func(t *testing.T, serve func(http.Handler) any), networks ...Network) {
	for _, network := range networks {
		t.Run(network.name, func(t *testing.T) {
			run := func(t *testing.T) {
				test(t, func(handler http.Handler) any { return network.start(t, handler) })
			}
			if network.bubble {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

// OnEveryNetwork runs a test in a bubble, over TCP and over TLS.
func OnEveryNetwork(t *testing.T, test func(t *testing.T, serve func(http.Handler) any)) {
	OnNetworks(t, test, Bubble, TCP, TLS)
}
