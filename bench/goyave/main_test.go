package main

import (
	"testing"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests are of the program alone. The tests of bench/ run it as a process, if it can be
// built, and check every frame.

// eachImplementation runs a test on a server of each, in a mode.
func eachImplementation(t *testing.T, m serving.Mode, test func(t *testing.T, dial func() *wstest.Client)) {
	for name := range implementations {
		t.Run(name, func(t *testing.T) {
			server, err := newServer(name, m)
			require.NoError(t, err)
			test(t, func() *wstest.Client {
				return wstest.Dial(t, server.Router(), "/", &wstest.Options{Compression: m.Compresses()})
			})
		})
	}
}

func TestEchoes(t *testing.T) {
	eachImplementation(t, serving.Echo, func(t *testing.T, dial func() *wstest.Client) {
		client := dial()
		assert.Empty(t, client.Response.Header.Get("Sec-WebSocket-Extensions"))
		client.WriteText("hello, 世界")
		client.ExpectText("hello, 世界")
		client.WriteBinary([]byte("\xff"))
		client.ExpectBinary([]byte("\xff"))
	})
}

func TestDeflates(t *testing.T) {
	eachImplementation(t, serving.Deflate, func(t *testing.T, dial func() *wstest.Client) {
		client := dial()
		assert.Contains(t, client.Response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		client.WriteText("hello")
		client.ExpectText("hello")
	})
}

func TestBroadcasts(t *testing.T) {
	eachImplementation(t, serving.Broadcast, func(_ *testing.T, dial func() *wstest.Client) {
		first := dial()
		first.WriteBinary([]byte("alone"))
		first.ExpectBinary([]byte("alone")) // the answer means that it is a member
		second := dial()
		second.WriteBinary([]byte("both"))
		second.ExpectBinary([]byte("both"))
		first.ExpectBinary([]byte("both"))
	})
}

func TestWhatBenchDoesNotAskForIsRefused(t *testing.T) {
	require.ErrorContains(t, run([]string{"goyave"}), "bench/")
	require.ErrorContains(t, run([]string{"goyave", "serve", "unknown", "echo"}), `no implementation "unknown"`)
}
