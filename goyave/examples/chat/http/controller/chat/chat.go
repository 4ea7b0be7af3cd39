// Package chat has the controller of a chat room.
package chat

import (
	"context"
	"encoding/json"
	"strings"

	websocket "github.com/goyave-contrib/websocket/goyave"
	"goyave.dev/goyave/v5"
)

// maxMessage is the longest message that a client may send, in bytes.
const maxMessage = 2048

// Controller is one room. Each connection is served by two goroutines: Serve
// reads, and pump writes what the room has put into the member's queue.
type Controller struct {
	goyave.Component
	room room
}

// RegisterRoute has the name validated before the upgrade.
func (ctrl *Controller) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("", handler).ValidateQuery(JoinRequest)
}

// Serve is the whole life of one member.
func (ctrl *Controller) Serve(conn *websocket.Conn, request *goyave.Request) error {
	name, _ := request.Query["name"].(string) // it was validated
	m := newMember(name, conn)
	if !ctrl.room.join(m) {
		return websocket.NewCloseError(websocket.ClosePolicyViolation, "the name is taken")
	}
	defer ctrl.room.leave(m)
	ctrl.Logger().Info("joined", "name", name)

	conn.SetReadLimit(maxMessage)
	conn.Go(func(ctx context.Context) error { return m.pump(ctx) })
	for {
		messageType, message, err := conn.ReadMessage()
		switch {
		case err != nil:
			return err
		case messageType != websocket.TextMessage:
			return websocket.NewCloseError(websocket.CloseUnsupportedData, "only text, please")
		}
		if text := strings.TrimSpace(string(message)); text != "" {
			ctrl.room.send(event{Type: "message", Name: name, Text: text})
		}
	}
}

// An event is what members are sent, as JSON.
type event struct {
	Type string   `json:"type"` // joined, left, message; members, for who has just joined
	Name string   `json:"name,omitempty"`
	Text string   `json:"text,omitempty"`
	All  []string `json:"all,omitempty"` // the names of all members
}

func (e event) encode() []byte {
	encoded, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings are always encoded
	}
	return encoded
}
