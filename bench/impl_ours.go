package main

import (
	"net"
	"net/http"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/bench/internal/serving"
	"github.com/goyave-contrib/websocket/hub"
)

const (
	oursModule = "github.com/goyave-contrib/websocket"
	oursName   = "goyave-contrib/websocket"
)

var _ = register(implementation{
	name:   oursName,
	module: oursModule,
	below:  []string{"github.com/gorilla/websocket", "github.com/klauspost/compress"},
	config: "`ReadMessage`, `WriteMessage`; default options and buffers, so with write timeout, keep-alive and UTF-8 check; " +
		"broadcast: its hub",
	ours:  true,
	serve: func(l net.Listener, m mode) error { return serveOurs(l, m, echoMessages) },
})

// serveOurs serves with the given echo loop. Each way of reading has a file, which registers it
// with a loop of its own.
func serveOurs(l net.Listener, m mode, echoLoop func(*websocket.Conn) error) error {
	serve := echoLoop
	if m.Broadcasts() {
		serve = (&oursBroadcast{hub.New(hub.Options{})}).serve
	}
	return serveUpgrader(l, m, websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		return serve(conn)
	})))
}

func serveUpgrader(l net.Listener, m mode, upgrader *websocket.Upgrader) error {
	upgrader.Compression, upgrader.MaxWindowBits = serving.Compression(m)
	upgrader.CompressionThreshold = compressionThreshold
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

type oursBroadcast struct{ hub *hub.Hub }

func (b *oursBroadcast) serve(conn *websocket.Conn) error {
	if _, err := b.hub.Join(conn); err != nil {
		return err
	}
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := b.hub.To(hub.Everyone()).Send(hub.Binary(message)); err != nil {
			return err
		}
	}
}
