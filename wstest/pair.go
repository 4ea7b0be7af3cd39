package wstest

import (
	"context"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
)

// Pair returns the two ends of one connection in memory, for tests of functions that take a Conn.
// The server's end has the given options. It stays open until one of the ends is closed or the test
// ends; the end of the test waits until the server's end has been released completely.
func Pair(t testing.TB, options websocket.Options) (*Client, *websocket.Conn) {
	t.Helper()
	conns := make(chan *websocket.Conn, 1)
	ended := make(chan struct{})
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		conns <- conn
		select {
		case <-ended:
		case <-conn.Context().Done():
		}
		return nil
	}))
	upgrader.Options = options
	t.Cleanup(func() {
		close(ended)
		_ = upgrader.Shutdown(context.Background()) // bounded: the client's socket is closed
	})
	client := Dial(t, upgrader, "/", nil)
	return client, <-conns
}
