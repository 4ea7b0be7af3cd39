//go:build !race

package integration_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAllocationsOfEnqueue counts the allocations of the whole process, which does nothing
// else. While a peer keeps up, its queue needs no memory and no goroutine.
func TestAllocationsOfEnqueue(t *testing.T) {
	for _, tc := range []struct {
		name     string
		messages int
		size     int
	}{
		{name: "a small message", messages: 1, size: 100},
		{name: "a large message", messages: 1, size: 40_000},
		{name: "two messages", messages: 2, size: 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conns := make(chan *websocket.Conn, 1)
			server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
				conns <- conn
				return testws.ReadLoop(testws.Returned)(conn, r)
			})))
			defer server.Close()
			client := wstest.DialRaw(t, server, "/", nil)
			conn := <-conns
			message := testws.EncodeSize(t, tc.size)
			messages := testws.Repeat(tc.messages, message)
			all := make([]byte, tc.messages*len(wstest.Binary(make([]byte, tc.size)).Unmasked().Bytes()))
			publish := func() {
				err := conn.Enqueue(websocket.QueueLimit{}, messages...)
				conn.Flush()
				if err == nil {
					_, err = io.ReadFull(client.Conn, all)
				}
				if err != nil {
					t.Error(err)
				}
			}
			publish() // pools are filled
			enqueue := testing.AllocsPerRun(1000, publish)
			if tc.messages == 1 {
				assert.Zero(t, enqueue)
			} else {
				assert.LessOrEqual(t, enqueue, 2.0, "for the frames")
			}
			client.Send(wstest.Close(1000, ""))
			client.ExpectClose(1000, "")
			require.NoError(t, client.Close())
		})
	}
}

// TestAllocationsOfPings counts the allocations of the whole process. A ping costs its
// payload twice: once for the handlers and once for the pong.
func TestAllocationsOfPings(t *testing.T) {
	server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		_, _, err := conn.ReadMessage()
		return err
	})))
	defer server.Close()
	client := wstest.DialRaw(t, server, "/", nil)
	payload := "a payload of more than 32 bytes, which have no memory of their own"
	ping := wstest.Ping(payload).Bytes()
	pong := make([]byte, len(ping)-4) // it has no mask
	allocs := testing.AllocsPerRun(1000, func() {
		if _, err := client.Conn.Write(ping); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(client.Conn, pong); err != nil {
			t.Error(err)
		}
	})
	assert.LessOrEqual(t, allocs, 2.0)
	assert.Equal(t, payload, string(pong[2:]))
	client.Send(wstest.Close(1000, ""))
	client.ExpectClose(1000, "")
	require.NoError(t, client.Close())
}
