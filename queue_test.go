package websocket_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// encode is EncodeMessage for a text.
func encode(t *testing.T, text string) *websocket.EncodedMessage {
	t.Helper()
	m, err := websocket.EncodeMessage(websocket.TextMessage, []byte(text))
	require.NoError(t, err)
	return m
}

func TestEnqueue(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		server := serve(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for i := range 100 {
				if err := conn.Enqueue(websocket.QueueLimit{}, encode(t, fmt.Sprint(i))); err != nil {
					return err
				}
				if i%3 == 0 {
					conn.Flush()
				}
			}
			return nil
		})))
		client := wstest.Dial(t, server, "/", nil)
		for i := range 100 {
			client.ExpectText(fmt.Sprint(i))
		}
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	})
}
