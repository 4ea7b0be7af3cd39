//go:build race

package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
)

// A caller that uses a slice after the next read should notice.
func TestSliceIsOverwrittenByTheNextRead(t *testing.T) {
	spoiled := bytes.Repeat([]byte{0xdb}, 70_000)
	quoted(t, "My message changes", fmt.Sprintf("%q", spoiled[:5]))
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			server := sliceServer(t, nil, func(conn *websocket.Conn, _ *http.Request) error {
				for {
					_, p, err := conn.ReadSlice()
					if err != nil {
						return err
					}
					if _, _, err := read(conn, fixedRandom()); err != nil {
						return err
					}
					assert.True(t, bytes.Equal(spoiled[:len(p)], p), "%d bytes: %.20q", len(p), p)
					if err := conn.WriteMessage(websocket.BinaryMessage, nil); err != nil {
						return err
					}
				}
			})
			client := wstest.DialRaw(t, server, "/", nil)
			for _, size := range []int{1, 1000, 70_000} {
				client.Send(wstest.Binary(pattern(size, 0)))
				client.Send(wstest.Binary(nil))
				client.Expect(wstest.Binary(nil))
			}
		})
	}
}
