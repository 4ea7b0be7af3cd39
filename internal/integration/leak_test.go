package integration_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestNothingIsLeftBehind ends a thousand connections over TCP in ten ways and counts what
// they leave behind.
func TestNothingIsLeftBehind(t *testing.T) {
	const each = 100
	brief := websocket.Options{CloseTimeout: 300 * time.Millisecond, WriteTimeout: 300 * time.Millisecond, Logger: testws.Silent}
	newEndpoint := func(serve websocket.ControllerFunc) *websocket.Upgrader {
		u := websocket.New(serve)
		u.Options = brief
		return u
	}
	tcp := func(client *wstest.Raw) *net.TCPConn { return client.Conn.(*net.TCPConn) } //nolint:errcheck // it is
	readToEnd := func(client *wstest.Raw) { _, _ = io.Copy(io.Discard, client) }

	ways := []struct {
		name  string
		serve websocket.ControllerFunc
		end   func(client *wstest.Raw)
	}{
		{"normal", testws.Echo, func(client *wstest.Raw) {
			client.Send(wstest.Text("x"), wstest.Close(1000, ""))
			client.Expect(wstest.Text("x"), wstest.Close(1000, ""))
		}},
		{"reset", testws.Echo, func(client *wstest.Raw) {
			client.Send(wstest.Text("x"))
			_ = tcp(client).SetLinger(0)
			_ = client.Close()
		}},
		{"half-close", testws.Echo, func(client *wstest.Raw) {
			_ = tcp(client).CloseWrite()
			readToEnd(client)
		}},
		{"garbage", testws.Echo, func(client *wstest.Raw) {
			client.SendBytes([]byte("GET / HTTP/1.1\r\nHost: what?\r\n\r\n"))
			readToEnd(client)
		}},
		{"flood", func(*websocket.Conn, *http.Request) error { return nil }, func(client *wstest.Raw) {
			message := wstest.Binary(make([]byte, 10_000)).Bytes()
			for {
				if _, err := client.Write(message); err != nil {
					return
				}
			}
		}},
		{"never answering", func(*websocket.Conn, *http.Request) error { return nil }, readToEnd},
		{"never reading", func(conn *websocket.Conn, _ *http.Request) error {
			for {
				if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		}, func(client *wstest.Raw) {
			// Only when the server has given up is there a way out.
			for {
				if _, err := client.Write(wstest.Pong("").Bytes()); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}},
		{"panic", func(*websocket.Conn, *http.Request) error { panic("oh") }, readToEnd},
		{"Goexit", func(*websocket.Conn, *http.Request) error { runtime.Goexit(); return nil }, readToEnd},
		{"shutdown", testws.Echo, readToEnd},
	}

	before := testws.Descriptors(t)
	t.Run("endings", func(t *testing.T) {
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				u := newEndpoint(way.serve)
				server := httptest.NewServer(u)
				defer server.Close()
				var running sync.WaitGroup
				for range each {
					client := wstest.DialRaw(t, server, "/", &wstest.Options{Timeout: time.Minute})
					running.Go(func() {
						way.end(client)
						_ = client.Close() // some have done so
					})
				}
				if way.name == "shutdown" {
					require.NoError(t, u.Shutdown(t.Context()))
				}
				running.Wait()
				require.Eventually(t, func() bool { return u.Stats().Open == 0 }, 20*time.Second, time.Millisecond)
			})
		}
	})
	goleak.VerifyNone(t)
	runtime.GC() // finalizers must have nothing to close
	assert.LessOrEqual(t, testws.Descriptors(t), before, "descriptors")
}
