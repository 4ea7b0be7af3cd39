package main

import (
	"net"
	"net/http"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

const messagesName = "goyave-contrib/websocket, messages"

var _ = register(implementation{
	name:   messagesName,
	module: oursModule,
	below:  []string{"github.com/gorilla/websocket", "github.com/klauspost/compress"},
	config: "a MessageController: `OnMessage` is called with each message, which is lent until it returns, and a " +
		"connection that is quiet for 5 seconds has no goroutine; else as goyave-contrib/websocket",
	ours:       true,
	quietAfter: websocket.DefaultOptions().ParkAfter + 2*time.Second,
	serve: func(l net.Listener, m mode) error {
		open := echoOnMessage
		if m.Broadcasts() {
			open = (&oursBroadcast{hub.New(hub.Options{})}).open
		}
		return serveUpgrader(l, m, websocket.NewMessages(websocket.MessageControllerFunc(open)))
	},
})

func echoOnMessage(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
	return (*echoHandler)(conn), nil
}

// An echoHandler is a connection whose messages are sent back.
type echoHandler websocket.Conn

func (h *echoHandler) OnMessage(messageType int, message []byte) error {
	return (*websocket.Conn)(h).WriteMessage(messageType, message)
}

func (b *oursBroadcast) open(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
	_, err := b.hub.Join(conn)
	return b, err
}

// OnMessage sends a message to all. The handlers of all connections are the same.
func (b *oursBroadcast) OnMessage(_ int, message []byte) error {
	return b.hub.To(hub.Everyone()).Send(hub.Binary(message))
}
