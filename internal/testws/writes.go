package testws

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// Writes is a connection that records the bytes and the time of each write.
type Writes struct {
	net.Conn
	mu    sync.Mutex
	calls [][]byte
	at    []time.Time
}

// Write records the call, then writes.
func (w *Writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.calls = append(w.calls, bytes.Clone(p))
	w.at = append(w.at, time.Now())
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// Reset returns the recorded writes, as the frames of each call, and forgets them.
func (w *Writes) Reset(t *testing.T) (calls [][]string, at []time.Time) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, call := range w.calls {
		var frames []string
		for r := bytes.NewReader(call); r.Len() > 0; {
			frame, err := wstest.ReadFrame(r)
			require.NoError(t, err)
			frames = append(frames, frame.String())
		}
		calls = append(calls, frames)
	}
	at, w.calls, w.at = w.at, nil, nil
	return calls, at
}

type writesListener struct {
	net.Listener
	conns chan *Writes
}

func (l *writesListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &Writes{Conn: nc}
	l.conns <- conn
	return conn, nil
}

// RecordWrites connects a client to a controller, in a bubble, and returns the server's
// connection, which records its writes.
func RecordWrites(t *testing.T, serve websocket.ControllerFunc) (client net.Conn, server *Writes) {
	t.Helper()
	u := websocket.New(serve)
	u.Logger = Silent
	memory := wstest.Listen()
	listener := &writesListener{Listener: memory, conns: make(chan *Writes, 1)}
	httpServer := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
	t.Cleanup(func() { _ = httpServer.Close() })
	go func() { _ = httpServer.Serve(listener) }()
	client, err := memory.DialContext(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	require.Equal(t, http.StatusSwitchingProtocols, UpgradeBare(t, client))
	server = <-listener.conns
	synctest.Wait()
	server.mu.Lock()
	server.calls, server.at = nil, nil
	server.mu.Unlock()
	return client, server
}
