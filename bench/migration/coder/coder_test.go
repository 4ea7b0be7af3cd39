package coder_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the page says of the code from before.
func TestEcho(t *testing.T) {
	handler := http.HandlerFunc(serveEcho)
	header := http.Header{"Origin": {"https://app.example.com"}}
	client := wstest.Dial(t, handler, "/", &wstest.Options{Header: header})
	client.WriteText("hello")
	client.ExpectText("hello")
	client.WriteText("\xff") // which nobody checks
	client.ExpectText("\xff")
	client.WriteText(strings.Repeat("a", 1<<15+1))
	_, _, err := client.ReadMessage()
	assert.True(t, ws.IsCloseError(err, ws.CloseMessageTooBig), "%v", err)

	response := wstest.DialRefused(t, handler, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.example"}}})
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	require.NoError(t, response.Body.Close())
	recorder := httptest.NewRecorder()
	handler(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	assert.Equal(t, http.StatusUpgradeRequired, recorder.Code)
}

func TestTime(t *testing.T) {
	client := wstest.Dial(t, http.HandlerFunc(serveTime), "/", nil)
	var now time.Time
	require.NoError(t, client.ReadJSON(&now))
	client.WriteText("nobody asked")
	_, _, err := client.ReadMessage()
	assert.True(t, ws.IsCloseError(err, ws.ClosePolicyViolation), "%v", err)
}

func TestLogin(t *testing.T) {
	names := make(chan string, 1)
	handler := func(ctx context.Context) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			name, err := login(ctx, conn)
			if err != nil {
				_ = conn.Close(4008, err.Error())
			}
			names <- name
		})
	}
	client := wstest.Dial(t, handler(t.Context()), "/", nil)
	client.WriteText(`{"name": "Ada"}`)
	client.ExpectJSON("welcome")
	assert.Equal(t, "Ada", <-names)

	client = wstest.Dial(t, handler(t.Context()), "/", nil)
	client.WriteText(`{`)
	_, _, err := client.ReadMessage()
	assert.True(t, ws.IsCloseError(err, ws.CloseInvalidFramePayloadData), "%v", err)
	<-names

	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client := wstest.Dial(t, handler(context.Background()), "/", &wstest.Options{Timeout: -1})
		_, _, err = client.ReadMessage()
		assert.True(t, ws.IsCloseError(err, ws.CloseAbnormalClosure), "no close frame comes: %v", err)
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
	<-names
}

func TestAsk(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(serveEcho))
	defer server.Close()
	answer, err := ask(t.Context(), server.URL, "hello?")
	require.NoError(t, err)
	assert.Equal(t, "hello?", answer)
}
