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
	return configured(websocket.New(controller), m)
}

// faceMessages is face with a MessageController.
func faceMessages(m serving.Mode) upgrader {
	var controller websocket.MessageController = new(echoOpener)
	if m.Broadcasts() {
		controller = &broadcastOpener{faceBroadcast{hub: hub.New(hub.Options{})}}
	}
	return configured(websocket.NewMessages(controller), m)
}

func configured(u *websocket.Upgrader, m serving.Mode) upgrader {
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

type echoOpener struct{ goyave.Component }

func (*echoOpener) Open(conn *websocket.Conn, _ *goyave.Request) (websocket.MessageHandler, error) {
	return (*echoHandler)(conn), nil
}

// An echoHandler is a connection whose messages are sent back.
type echoHandler websocket.Conn

func (h *echoHandler) OnMessage(messageType int, message []byte) error {
	return (*websocket.Conn)(h).WriteMessage(messageType, message)
}

type broadcastOpener struct{ faceBroadcast }

func (b *broadcastOpener) Open(conn *websocket.Conn, _ *goyave.Request) (websocket.MessageHandler, error) {
	_, err := b.hub.Join(conn)
	return b, err
}

// OnMessage sends a message to all. The handlers of all connections are the same.
func (b *broadcastOpener) OnMessage(_ int, message []byte) error {
	return b.hub.To(hub.Everyone()).Send(hub.Binary(message))
}
