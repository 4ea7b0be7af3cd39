package websocket_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
)

// spans is a middleware with a span that lasts as long as the handler runs.
type spans struct {
	goyave.Component
	open     atomic.Int32
	statuses chan int // of the ended spans
}

func (m *spans) Handle(next goyave.Handler) goyave.Handler {
	return func(response *goyave.Response, request *goyave.Request) {
		m.open.Add(1)
		defer func() {
			m.open.Add(-1)
			m.statuses <- response.GetStatus()
		}()
		next(response, request)
	}
}

// The handler, and the middleware around it, lasts as long as the connection with ServeInHandler,
// and as long as the upgrade without.
func TestServeInHandler(t *testing.T) {
	for _, tc := range []struct {
		name      string
		upgrader  *websocket.Upgrader
		inHandler bool
	}{
		{"Serve in the handler", websocket.New(&plain{}), true},
		{"Serve in a goroutine of its own", websocket.New(&plain{}), false},
		{"OnMessage in the handler", websocket.NewMessages(&byMessage{}), true},
		{"OnMessage in a goroutine of its own", websocket.NewMessages(&byMessage{}), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			around := &spans{statuses: make(chan int, 10)}
			upgrader := tc.upgrader
			upgrader.ServeInHandler = tc.inHandler
			a := start(t, func(_ *goyave.Server, router *goyave.Router) {
				router.Subrouter("/ws").Middleware(around).Controller(upgrader)
			})
			client := a.dial("/ws")
			client.WriteText("hello")
			client.ExpectText("hello")
			if !tc.inHandler {
				assert.Equal(t, http.StatusSwitchingProtocols, receive(t, around.statuses))
			}
			require.Empty(t, around.statuses)
			if tc.inHandler {
				assert.EqualValues(t, 1, around.open.Load())
			}
			client.Close(websocket.CloseNormalClosure, "")
			if tc.inHandler {
				assert.Equal(t, http.StatusSwitchingProtocols, receive(t, around.statuses))
				assert.Zero(t, upgrader.Stats().Open)
			}

			response, _ := a.refused("/ws", http.Header{"Origin": {"https://evil.test"}})
			assert.Equal(t, http.StatusForbidden, response.StatusCode)
			assert.Equal(t, http.StatusForbidden, receive(t, around.statuses))
			require.Zero(t, around.open.Load())
		})
	}
}

// A panic of Serve ends the connection and does not reach Goyave's recovery.
func TestServeInHandlerPanics(t *testing.T) {
	around := &spans{statuses: make(chan int, 1)}
	upgrader := websocket.New(&plain{serve: func(*websocket.Conn, *goyave.Request) error { panic("out of coffee") }})
	upgrader.ServeInHandler = true
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/ws").Middleware(around).Controller(upgrader)
	})
	a.dial("/ws").ExpectClose(websocket.CloseInternalServerErr, http.StatusText(http.StatusInternalServerError))
	assert.Equal(t, http.StatusSwitchingProtocols, receive(t, around.statuses))
	a.log.wait(t, "out of coffee")
	assert.Len(t, a.log.with("out of coffee"), 1)
}

// The server's shutdown ends the connection, and with it the handler.
func TestShutdownOfServeInHandler(t *testing.T) {
	around := &spans{statuses: make(chan int, 1)}
	upgrader := websocket.New(&plain{})
	upgrader.ServeInHandler = true
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/ws").Middleware(around).Controller(upgrader)
	})
	client := a.dial("/ws")
	client.WriteText("hello")
	client.ExpectText("hello")
	a.stop()
	client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	assert.Equal(t, http.StatusSwitchingProtocols, receive(t, around.statuses))
	assert.Zero(t, upgrader.Stats().Open)
}
