// Package echo has the controller that sends every message back.
package echo

import (
	websocket "github.com/goyave-contrib/websocket/goyave"
	"goyave.dev/goyave/v5"
)

// Controller sends every message back unchanged.
type Controller struct {
	goyave.Component
}

// Serve handles one connection.
func (ctrl *Controller) Serve(conn *websocket.Conn, request *goyave.Request) error {
	ctrl.Logger().Info("connected", "remote", request.RemoteAddress())
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
