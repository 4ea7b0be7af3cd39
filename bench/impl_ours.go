package main

import (
	"net"
	"net/http"

	"github.com/goyave-contrib/websocket"
)

const oursModule = "github.com/goyave-contrib/websocket"

var _ = register(implementation{
	name:   "goyave-contrib/websocket",
	module: oursModule,
	below:  []string{"github.com/gorilla/websocket", "github.com/klauspost/compress"},
	config: "`ReadMessage`, `WriteMessage`; default options and buffers, so with write timeout, keep-alive and UTF-8 check; " +
		"broadcast: a loop over `WritePreparedMessage`, until there is a hub",
	ours:  true,
	serve: func(l net.Listener, m mode) error { return serveOurs(l, m, echoMessages) },
})

// serveOurs serves with the given echo loop. Another way of reading is one more
// file that registers itself with another loop.
func serveOurs(l net.Listener, m mode, echoLoop func(*websocket.Conn) error) error {
	serve := echoLoop
	if m == broadcast {
		serve = new(oursBroadcast).serve
	}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		return serve(conn)
	}))
	upgrader.Settings.EnableCompression = m == deflate // and the default buffers, which connections share
	upgrader.MaxMessageSize = maxMessageSize
	return serveHTTP(l, upgrader.ServeHTTP)
}

func echoMessages(conn *websocket.Conn) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

// oursBroadcast is to be replaced by the hub once there is one.
type oursBroadcast struct{ conns set[*websocket.Conn] }

func (b *oursBroadcast) serve(conn *websocket.Conn) error {
	b.conns.add(conn)
	defer b.conns.remove(conn)
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		prepared, err := websocket.NewPreparedMessage(messageType, message)
		if err != nil {
			return err
		}
		for _, member := range b.conns.all() {
			_ = member.WritePreparedMessage(prepared) // one that is gone learns it from its own read
		}
	}
}
