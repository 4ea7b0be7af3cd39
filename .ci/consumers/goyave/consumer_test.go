// Package consumer is what an application on Goyave imports.
package consumer

import (
	"testing"

	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
)

type echo struct{ goyave.Component }

func (*echo) Serve(conn *websocket.Conn, _ *goyave.Request) error {
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

func TestEcho(t *testing.T) {
	server, err := goyave.New(goyave.Options{Config: config.LoadDefault()})
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/echo").Controller(websocket.New(&echo{}))
	})
	client := wstest.Dial(t, server.Router(), "/echo", nil)
	client.WriteText("hello")
	client.ExpectText("hello")
	client.Close(websocket.CloseNormalClosure, "bye")
}
