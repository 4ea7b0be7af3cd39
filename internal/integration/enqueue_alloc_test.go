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

// TestAllocationsOfEnqueue counts those of the whole process, which does nothing else:
// while a peer keeps up, its queue costs no memory, and no goroutine.
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
