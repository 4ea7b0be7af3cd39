package fiber_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	ws "github.com/gorilla/websocket"
	ours "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve runs a Fiber application until the test ends.
func serve(t *testing.T, app *fiber.App) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		assert.NoError(t, app.ShutdownWithTimeout(10*time.Second))
		assert.NoError(t, <-ended)
	})
	return "ws://" + listener.Addr().String()
}

func visitors() *wstest.Options {
	return &wstest.Options{Header: http.Header{"Cookie": {"session=secret"}}, Timeout: 30 * time.Second}
}

func refused(t *testing.T, address string, options *wstest.Options, status int) {
	t.Helper()
	response := wstest.DialRefused(t, address, "/rooms/lobby", options)
	assert.Equal(t, status, response.StatusCode)
	require.NoError(t, response.Body.Close())
}

func TestBefore(t *testing.T) {
	app := fiber.New()
	routes(app)
	address := serve(t, app)
	refused(t, address, nil, http.StatusUnauthorized)
	client := wstest.Dial(t, address, "/rooms/lobby?mood=!", visitors())
	client.ExpectText("hello ada in lobby!")
	client.WriteText("\xff") // which nobody checks
	client.ExpectText("\xff")
	client.Close(ws.CloseNormalClosure, "bye")

	evil := visitors()
	evil.Header.Set("Origin", "https://evil.example")
	refused(t, address, evil, http.StatusUpgradeRequired)
}

// The library behind Fiber's adaptor for net/http.
func TestAfter(t *testing.T) {
	app := fiber.New()
	app.Use("/rooms", func(c fiber.Ctx) error {
		if c.Cookies("session") != "secret" {
			return fiber.ErrUnauthorized
		}
		c.Locals("user", "ada")
		return c.Next()
	})
	upgrader := ours.New(&Room{})
	upgrader.AllowedOrigins = []string{"https://app.example.com"}
	app.Get("/rooms/:room", enter(upgrader))
	address := serve(t, app)
	refused(t, address, nil, http.StatusUnauthorized)
	for range 10 {
		client := wstest.Dial(t, address, "/rooms/lobby?mood=!", visitors())
		client.ExpectText("hello ada in lobby!")
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(ws.CloseNormalClosure, "bye")
	}
	evil := visitors()
	evil.Header.Set("Origin", "https://evil.example")
	refused(t, address, evil, http.StatusForbidden)

	client := wstest.Dial(t, address, "/rooms/lobby", visitors())
	client.ExpectText("hello ada in lobby")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, upgrader.Shutdown(ctx))
	client.ExpectClose(ws.CloseGoingAway, "Server shutting down")
}

// A mux of net/http before the application.
func TestInFront(t *testing.T) {
	app := fiber.New()
	app.Get("/about", func(c fiber.Ctx) error { return c.SendString("all about it") })
	upgrader := ours.New(ours.ControllerFunc(func(conn *ours.Conn, request *http.Request) error {
		return conn.WriteMessage(ours.TextMessage, []byte(request.PathValue("room")))
	}))
	server := httptest.NewServer(inFront(upgrader, app))
	defer server.Close()
	client := wstest.Dial(t, server, "/rooms/lobby", nil)
	client.ExpectText("lobby")
	client.ExpectClose(ws.CloseNormalClosure, ours.NormalClosureMessage)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/about", http.NoBody)
	require.NoError(t, err)
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "all about it", string(body))
}

// What a client sends before it has the 101 is lost in the adaptor.
func TestEarlyMessage(t *testing.T) {
	app := fiber.New()
	app.Get("/rooms/:room", enter(ours.New(&Room{})))
	address := serve(t, app)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address[len("ws://"):])
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write(append([]byte("GET /rooms/lobby HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"), wstest.Text("early").Bytes()...))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
	for all := ""; ; {
		p := make([]byte, 1024)
		n, err := conn.Read(p)
		all += string(p[:n])
		if err != nil {
			assert.Contains(t, all, "hello  in lobby")
			assert.NotContains(t, all, "early")
			return
		}
	}
}
