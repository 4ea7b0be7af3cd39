package coder_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mux() *http.ServeMux {
	mux := http.NewServeMux()
	routes(mux)
	return mux
}

func TestEcho(t *testing.T) {
	header := http.Header{"Origin": {"https://app.example.com"}}
	client := wstest.Dial(t, mux(), "/echo", &wstest.Options{Header: header})
	client.WriteText("hello")
	client.ExpectText("hello")
	client.WriteText("\xff")
	client.ExpectClose(websocket.CloseInvalidFramePayloadData, "text is not UTF-8")

	for _, origin := range []string{"https://evil.example", "https://app.example.com:8443"} {
		response := wstest.DialRefused(t, mux(), "/echo", &wstest.Options{Header: http.Header{"Origin": {origin}}})
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
}

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wstest.Dial(t, websocket.New(&Time{}), "/", nil)
		for range 3 {
			var now time.Time
			require.NoError(t, client.ReadJSON(&now))
			assert.True(t, now.Equal(time.Now()))
		}
		client.WriteText("nobody asked")
		_, _, err := client.ReadMessage()
		assert.Equal(t, websocket.ClosePolicyViolation, websocket.CloseStatus(err))
	})
}

// The name that a client gives, or how its connection ends.
func TestLogin(t *testing.T) {
	names := make(chan string, 1)
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		name, err := login(request.Context(), conn)
		if errors.Is(err, context.DeadlineExceeded) {
			return websocket.NewCloseError(4008, "too late")
		}
		names <- name
		return err
	}))
	client := wstest.Dial(t, upgrader, "/", nil)
	client.WriteText(`{"name": "Ada"}`)
	client.ExpectJSON("welcome")
	assert.Equal(t, "Ada", <-names)

	client = wstest.Dial(t, upgrader, "/", nil)
	client.WriteText(`{`)
	client.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")

	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client := wstest.Dial(t, upgrader, "/", &wstest.Options{Timeout: -1})
		client.ExpectClose(4008, "too late")
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestAsk(t *testing.T) {
	server := httptest.NewServer(mux())
	defer server.Close()
	answer, err := ask(t.Context(), server.URL+"/echo", "hello?")
	require.NoError(t, err)
	assert.Equal(t, "hello?", answer)
}
