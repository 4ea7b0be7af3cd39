//go:build !race

package integration_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
)

// TestAllocationsOfMessages counts the allocations of the whole process, including the
// client. The client allocates nothing: it writes existing bytes and reads into existing
// memory.
func TestAllocationsOfMessages(t *testing.T) {
	for _, tc := range []struct {
		name string
		read func(conn *websocket.Conn) (int, []byte, error)
		want float64
	}{
		{name: "ReadSlice", read: (*websocket.Conn).ReadSlice, want: 0},
		{name: "ReadMessage", read: (*websocket.Conn).ReadMessage, want: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := sliceServer(t, nil, func(conn *websocket.Conn, _ *http.Request) error {
				for {
					messageType, p, err := tc.read(conn)
					if err != nil {
						return err
					}
					if err := conn.WriteMessage(messageType, p); err != nil {
						return err
					}
				}
			})
			client := wstest.DialRaw(t, server, "/", nil)
			frame := wstest.Binary(pattern(100, 0))
			request, answer := frame.Bytes(), frame.Unmasked().Bytes()
			echo := func() {
				_, err := client.Conn.Write(request)
				if err == nil {
					_, err = io.ReadFull(client.Conn, answer)
				}
				if err != nil {
					t.Error(err)
				}
			}
			echo() // pools are filled
			assert.InDelta(t, tc.want, testing.AllocsPerRun(1000, echo), 0)
		})
	}
}
