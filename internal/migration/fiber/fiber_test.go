package fiber_test

import (
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRoom(t *testing.T) {
	mux := http.NewServeMux()
	routes(mux)
	refused := wstest.DialRefused(t, mux, "/rooms/lobby", nil)
	assert.Equal(t, http.StatusUnauthorized, refused.StatusCode)
	require.NoError(t, refused.Body.Close())
	for origin, status := range map[string]int{
		"https://evil.example":    http.StatusForbidden,
		"https://app.example.com": http.StatusSwitchingProtocols,
		"":                        http.StatusSwitchingProtocols,
	} {
		options := &wstest.Options{Header: http.Header{"Cookie": {"session=secret"}}}
		if origin != "" {
			options.Header.Set("Origin", origin)
		}
		if status != http.StatusSwitchingProtocols {
			response := wstest.DialRefused(t, mux, "/rooms/lobby?mood=!", options)
			assert.Equal(t, status, response.StatusCode)
			require.NoError(t, response.Body.Close())
			continue
		}
		client := wstest.Dial(t, mux, "/rooms/lobby?mood=!", options)
		client.ExpectText("hello ada in lobby!")
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "bye")
	}
}
