//go:build race

package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
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

// A MessageHandler that uses a message after OnMessage has returned should notice when the next
// one comes, and in OnClose.
func TestMessageIsOverwrittenAfterOnMessage(t *testing.T) {
	spoiled := bytes.Repeat([]byte{0xdb}, 70_000)
	for _, size := range []int{1, 1000, 70_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			var before []byte
			isSpoiled := func() {
				assert.True(t, bytes.Equal(spoiled[:len(before)], before), "%d bytes: %.20q", len(before), before)
			}
			closed := make(chan struct{})
			u := websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
				return &testws.MessageHandler{
					MessageFunc: func(messageType int, message []byte) error {
						isSpoiled()
						before = message
						if messageType == websocket.TextMessage {
							return websocket.NewCloseError(websocket.CloseNormalClosure, "")
						}
						return conn.WriteMessage(websocket.BinaryMessage, nil)
					},
					CloseFunc: func(error) {
						assert.Len(t, before, size)
						isSpoiled()
						close(closed)
					},
				}, nil
			}))
			client := wstest.DialRaw(t, u, "/", nil)
			client.Send(wstest.Binary(pattern(size, 0)))
			client.Expect(wstest.Binary(nil))
			client.Send(wstest.Binary(nil))
			client.Expect(wstest.Binary(nil))
			client.Send(wstest.Text(strings.Repeat("x", size)))
			client.ExpectClose(websocket.CloseNormalClosure, "")
			<-closed
		})
	}
}
