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

// RawPair returns the two ends of a connection in memory, the client's to be
// used frame by frame. The server's is open until the test ends.
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

// ReadByte begins to read a message and goes no further.
func ReadByte(conn *websocket.Conn) {
	if _, r, err := conn.NextReader(); err == nil {
		_, _ = r.Read(make([]byte, 1))
	}
}

// HalfClose says that the client sends nothing more.
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

// Fill writes to the connection, in another goroutine, more than the network
// takes, and returns when the write waits. The channel gets its error.
func Fill(conn *websocket.Conn) <-chan error {
	errs := make(chan error, 1)
	go func() { errs <- conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer)) }()
	synctest.Wait()
	return errs
}

// FloodPings writes pings, with deadlines of its own, until the network takes no
// more.
func FloodPings(conn *websocket.Conn) {
	go func() {
		var err error
		for err == nil {
			err = conn.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Hour))
		}
	}()
	synctest.Wait()
}

// ReadAway reads a frame if one is there.
func ReadAway(client *wstest.Raw) *wstest.Frame {
	synctest.Wait()
	_ = client.SetReadDeadline(time.Now().Add(time.Millisecond))
	f, err := wstest.ReadFrame(client)
	if err != nil {
		return nil
	}
	return &f
}
