package integration_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUpgradeHeaders(t *testing.T) {
	added := http.Header{"Set-Cookie": {"a=1; HttpOnly", "b=2"}, "X-Served-By": {"me"}}
	upgrader := websocket.New(&testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(r *http.Request) http.Header {
		assert.Equal(t, "/ws", r.URL.Path)
		return added
	}})
	client := wstest.Dial(t, upgrader, "/ws", nil)
	assert.Equal(t, added.Values("Set-Cookie"), client.Response.Header.Values("Set-Cookie"))
	assert.Equal(t, "me", client.Response.Header.Get("X-Served-By"))
	assert.Len(t, added, 2, "the application's header is left as it is")
	client.WriteText("hello")
	client.ExpectText("hello")
}

func TestSubprotocols(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ours    []string
		headers http.Header
		theirs  []string
		want    string
	}{
		{name: "the one both know", ours: []string{"chat.v2", "chat.v1"}, theirs: []string{"chat.v1"}, want: "chat.v1"},
		{name: "the server's choice of two", ours: []string{"chat.v2", "chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{name: "none in common", ours: []string{"chat.v2"}, theirs: []string{"mqtt"}},
		{name: "none offered", ours: []string{"chat.v2"}},
		{name: "none known", theirs: []string{"mqtt"}},
		{name: "the controller's choice", headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}, want: "mqtt"},
		{
			name:    "the controller's choice, in RFC 6455's spelling",
			headers: http.Header{"Sec-WebSocket-Protocol": {"mqtt"}}, // not what http.Header.Set makes of it
			theirs:  []string{"mqtt"},
			want:    "mqtt",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&testws.HeaderController{
				ControllerFunc: func(conn *websocket.Conn, _ *http.Request) error {
					return conn.WriteMessage(websocket.TextMessage, []byte(conn.Subprotocol()))
				},
				Headers: func(*http.Request) http.Header { return tt.headers },
			})
			upgrader.Settings.Subprotocols = tt.ours
			client := wstest.Dial(t, upgrader, "/", &wstest.Options{Subprotocols: tt.theirs})
			client.ExpectText(tt.want)
			require.Equal(t, tt.want, client.Subprotocol())
			require.Equal(t, tt.want, client.Response.Header.Get("Sec-WebSocket-Protocol"))
		})
	}
}

// The header may be sent on several lines (RFC 6455, 11.3.4). The controller sees them
// unchanged.
func TestSubprotocolsOnSeveralLines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{name: "on the first", lines: []string{"v1", "mqtt"}, want: "v1"},
		{name: "on the second", lines: []string{"mqtt", "v1"}, want: "v1"},
		{name: "after an empty one", lines: []string{"", "v1"}, want: "v1"},
		{name: "the server's choice of two", lines: []string{"v1", "v2"}, want: "v2"},
		{name: "on none", lines: []string{"mqtt", "stomp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			served := make(chan *http.Request, 1)
			upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
				assert.Equal(t, tt.want, conn.Subprotocol())
				served <- r
				return nil
			}))
			upgrader.Settings.Subprotocols = []string{"v2", "v1"}
			response := testws.DialHTTP(t, wstest.Serve(t, upgrader)).Do(testws.UpgradeRequest(func(r *http.Request) {
				r.Header["Sec-Websocket-Protocol"] = tt.lines
			}))
			require.Equal(t, http.StatusSwitchingProtocols, response.Status)
			require.Equal(t, tt.want, response.Header.Get("Sec-Websocket-Protocol"))
			require.Equal(t, tt.lines, (<-served).Header["Sec-Websocket-Protocol"])
		})
	}
}

func TestCompression(t *testing.T) {
	message := strings.Repeat("compress me ", 1000)
	for _, tt := range []struct {
		name         string
		ours, theirs bool
		want         string
	}{
		{name: "both want it", ours: true, theirs: true, want: agreedOn},
		{name: "the client doesn't", ours: true},
		{name: "the server doesn't", theirs: true},
		{name: "nobody does"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
				upgrader.Settings.EnableCompression = tt.ours
				server := serve(upgrader)
				options := &wstest.Options{Compression: tt.theirs}

				raw := wstest.DialRaw(t, server, "/", options)
				require.Equal(t, tt.want, raw.Response.Header.Get("Sec-WebSocket-Extensions"))
				raw.Send(wstest.Text(message))
				frame, err := raw.Receive()
				require.NoError(t, err)
				if tt.want == "" {
					require.Zero(t, frame.RSV)
					require.Equal(t, message, string(frame.Payload))
				} else {
					require.Equal(t, byte(4), frame.RSV)
					require.Less(t, len(frame.Payload), len(message)/10)
					require.Equal(t, message, testws.Inflated(t, frame.Payload))
				}

				client := wstest.Dial(t, server, "/", options)
				for range 3 {
					client.WriteText(message)
					client.ExpectText(message)
				}
				client.Close(websocket.CloseNormalClosure, "")
			}, testws.Memory, testws.TCP)
		})
	}
}

// countingPool is a BufferPool of the application.
type countingPool struct {
	pool       sync.Pool
	gets, puts atomic.Int64
}

func (p *countingPool) Get() any {
	p.gets.Add(1)
	return p.pool.Get()
}

func (p *countingPool) Put(v any) {
	p.puts.Add(1)
	p.pool.Put(v)
}

// stream sends each message back in small pieces.
func stream(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, r, err := conn.NextReader()
		if err != nil {
			return err
		}
		w, err := conn.NextWriter(messageType)
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 10)); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

// gorillas is a controller that uses the embedded connection.
func gorillas(serve func(conn *ws.Conn) error) websocket.ControllerFunc {
	return func(conn *websocket.Conn, _ *http.Request) error {
		for {
			if err := serve(conn.Conn); err != nil {
				return err
			}
		}
	}
}

// The application's pool serves gorilla only: messages written by the methods of Conn need
// none.
func TestWriteBufferPool(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve websocket.ControllerFunc
	}{
		{name: "whole messages", serve: gorillas(func(conn *ws.Conn) error {
			messageType, p, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			return conn.WriteMessage(messageType, p)
		})},
		{name: "streamed messages", serve: gorillas(func(conn *ws.Conn) error {
			messageType, r, err := conn.NextReader()
			if err != nil {
				return err
			}
			w, err := conn.NextWriter(messageType)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(w, r, make([]byte, 5))
			return errors.Join(err, w.Close())
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pool := &countingPool{}
			upgrader := websocket.New(tt.serve)
			upgrader.Settings.WriteBufferPool = pool
			client := wstest.Dial(t, upgrader, "/", nil)
			for range 3 {
				client.WriteText("hello, pool")
				client.ExpectText("hello, pool")
			}
			client.Close(websocket.CloseNormalClosure, "")
			require.NoError(t, upgrader.Shutdown(t.Context()))
			require.GreaterOrEqual(t, pool.gets.Load(), int64(3))
			require.Equal(t, pool.gets.Load(), pool.puts.Load(), "each buffer is given back")
			require.Same(t, pool, upgrader.Settings.WriteBufferPool)
		})
	}
}

func TestTinyBuffers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		serve       websocket.ControllerFunc
		size        int
		compression bool
	}{
		{name: "whole messages", serve: testws.Echo, size: 300_000},
		{name: "whole messages, compressed", serve: testws.Echo, size: 300_000, compression: true},
		{name: "streamed messages", serve: stream, size: 5000},
		{name: "streamed messages, compressed", serve: stream, size: 5000, compression: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				upgrader := websocket.New(tt.serve)
				upgrader.Settings = ws.Upgrader{ReadBufferSize: 1, WriteBufferSize: 1, EnableCompression: tt.compression}
				client := wstest.Dial(t, serve(upgrader), "/", &wstest.Options{Compression: tt.compression})
				message := make([]byte, tt.size)
				for i := range message {
					message[i] = byte(i * i >> 3)
				}
				for range 2 {
					client.WriteBinary(message)
					client.ExpectBinary(message)
				}
				client.WriteText("")
				client.ExpectText("")
				client.Close(websocket.CloseNormalClosure, "")
			}, testws.Memory, testws.TCP)
		})
	}
}
