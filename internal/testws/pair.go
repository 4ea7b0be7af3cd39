package testws

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
)

// RawPair returns the two ends of an in-memory connection. The client is used frame by
// frame. The server's connection stays open until the test ends.
func RawPair(t *testing.T, options websocket.Options) (*wstest.Raw, *websocket.Conn) {
	t.Helper()
	conns := make(chan *websocket.Conn, 1)
	ended := make(chan struct{})
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		conns <- conn
		<-ended
		return nil
	}))
	if options.Logger == nil {
		options.Logger = Silent
	}
	u.Options = options
	client := wstest.DialRaw(t, u, "/", &wstest.Options{Timeout: time.Hour})
	t.Cleanup(func() {
		_ = client.Close()
		close(ended)
		assert.NoError(t, u.Shutdown(context.Background()))
	})
	return client, <-conns
}

// ReadByte reads the first byte of a message and nothing more.
func ReadByte(conn *websocket.Conn) {
	if _, r, err := conn.NextReader(); err == nil {
		_, _ = r.Read(make([]byte, 1))
	}
}

// HalfClose ends the client's half of the stream.
func HalfClose(client *wstest.Raw) {
	if half, ok := client.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// Drain reads until the connection ends.
func Drain(conn interface {
	ReadMessage() (messageType int, message []byte, err error)
}) {
	for err := error(nil); err == nil; {
		_, _, err = conn.ReadMessage()
	}
}

// Fill writes more than the network accepts, in another goroutine, and returns when that
// write waits. The channel receives the error of the write.
func Fill(conn *websocket.Conn) <-chan error {
	errs := make(chan error, 1)
	go func() { errs <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer)) }()
	synctest.Wait()
	return errs
}

// FloodPings writes pings with deadlines of their own until the network accepts no more.
func FloodPings(conn *websocket.Conn) {
	go func() {
		var err error
		for err == nil {
			err = conn.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Hour))
		}
	}()
	synctest.Wait()
}

// ReadAway reads a frame if one has arrived.
func ReadAway(client *wstest.Raw) *wstest.Frame {
	synctest.Wait()
	_ = client.SetReadDeadline(time.Now().Add(time.Millisecond))
	f, err := wstest.ReadFrame(client)
	if err != nil {
		return nil
	}
	return &f
}
