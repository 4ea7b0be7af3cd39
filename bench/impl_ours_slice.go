package main

import (
	"net"

	"github.com/goyave-contrib/websocket"
)

const sliceName = "goyave-contrib/websocket, ReadSlice"

var _ = register(implementation{
	name:   sliceName,
	module: oursModule,
	below:  []string{"github.com/gorilla/websocket", "github.com/klauspost/compress"},
	config: "`ReadSlice`, `WriteMessage`: messages are lent until the next read; else as goyave-contrib/websocket",
	ours:   true,
	serve:  func(l net.Listener, m mode) error { return serveOurs(l, m, echoSlices) },
})

func echoSlices(conn *websocket.Conn) error {
	for {
		messageType, message, err := conn.ReadSlice()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}
