package main

import (
	"github.com/goyave-contrib/websocket/bench/internal/serving"
	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
)

// face serves with this library's package for Goyave.
func face(m serving.Mode) upgrader {
	var controller websocket.Controller = new(faceEcho)
	if m.Broadcasts() {
		controller = &faceBroadcast{hub: hub.New(hub.Options{})}
	}
	u := websocket.New(controller)
	u.Compression, u.MaxWindowBits = serving.Compression(m)
	u.CompressionThreshold = serving.CompressionThreshold
	u.MaxMessageSize = serving.MaxMessageSize
	return u
}

type faceEcho struct{ goyave.Component }

func (*faceEcho) Serve(conn *websocket.Conn, _ *goyave.Request) error {
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

type faceBroadcast struct {
	goyave.Component
	hub *hub.Hub
}

func (b *faceBroadcast) Serve(conn *websocket.Conn, _ *goyave.Request) error {
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
