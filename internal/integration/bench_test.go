package integration_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
)

// BenchmarkEcho has one raw client send a message and wait for its echo, over
// TCP. The client's part is the same for all.
func BenchmarkEcho(b *testing.B) {
	upgrader := ws.Upgrader{}
	woken := websocket.NewMessages(websocket.MessageControllerFunc(testws.EchoMessages))
	woken.ParkAfter = 1 // each message finds the connection parked
	servers := []struct {
		name    string
		handler http.Handler
	}{
		{"ReadMessage", websocket.New(websocket.ControllerFunc(testws.Echo))},
		{"ReadSlice", websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for {
				messageType, message, err := conn.ReadSlice()
				if err != nil {
					return err
				}
				if err := conn.WriteMessage(messageType, message); err != nil {
					return err
				}
			}
		}))},
		{"OnMessage", websocket.NewMessages(websocket.MessageControllerFunc(testws.EchoMessages))},
		{"OnMessage, woken", woken},
		{"gorilla", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			for {
				messageType, p, err := conn.ReadMessage()
				if err != nil || conn.WriteMessage(messageType, p) != nil {
					return
				}
			}
		})},
	}
	for _, size := range []int{64, 1 << 10, 16 << 10, 256 << 10} {
		for _, server := range servers {
			b.Run(fmt.Sprintf("%dB/%s", size, server.name), func(b *testing.B) {
				s := httptest.NewServer(server.handler)
				defer s.Close()
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				frame := wstest.Binary(make([]byte, size)).Bytes()
				answer := make([]byte, len(wstest.Binary(make([]byte, size)).Unmasked().Bytes()))
				if _, err := io.WriteString(conn, benchRequest); err != nil {
					b.Fatal(err)
				}
				for head := ""; len(head) < 4 || head[len(head)-4:] != "\r\n\r\n"; {
					var c [1]byte
					if _, err := io.ReadFull(conn, c[:]); err != nil {
						b.Fatal(err)
					}
					head += string(c[:])
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := conn.Write(frame); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(conn, answer); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

const benchRequest = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
