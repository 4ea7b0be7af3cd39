// Package chat has the controller of a chat room.
package chat

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
)

const (
	room       = "chat" // the hub's room
	maxMessage = 2048   // bytes of one message of a client
)

// Controller serves one room. Serve reads a member's messages and passes them to the hub, which
// writes to all members.
type Controller struct {
	goyave.Component
	hub *websocket.HubService
}

// Init looks up the hub.
func (ctrl *Controller) Init(server *goyave.Server) {
	ctrl.Component.Init(server)
	ctrl.hub = websocket.HubOf(server)
}

// RegisterRoute validates the query before the upgrade. It also registers a route with which the
// page checks the name before it connects, because browsers do not show a page why a handshake was
// refused.
func (ctrl *Controller) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("", handler).ValidateQuery(JoinRequest)
	router.Get("/check", ctrl.check).ValidateQuery(JoinRequest)
}

// check responds with 204 if the query is valid.
func (*Controller) check(response *goyave.Response, _ *goyave.Request) {
	response.Status(http.StatusNoContent)
}

// Serve handles one member.
func (ctrl *Controller) Serve(conn *websocket.Conn, request *goyave.Request) error {
	name, _ := request.Query["name"].(string)         // validated as a string
	since, _ := request.Query["since"].(hub.Position) // validated as a position, or missing
	member, err := ctrl.hub.Join(conn)
	if err != nil {
		return err
	}
	if err := catchUp(member, since); err != nil {
		return err
	}
	if err := member.SetKey(name); err != nil { // from now on, the person is in the room
		return err
	}
	ctrl.Logger().Info("joined", "name", name)

	conn.SetReadLimit(maxMessage)
	for {
		messageType, message, err := conn.ReadMessage()
		switch {
		case err != nil:
			return err
		case messageType != websocket.TextMessage:
			return websocket.NewCloseError(websocket.CloseUnsupportedData, "only text, please")
		}
		text := strings.TrimSpace(string(message))
		if text == "" {
			continue
		}
		if err := ctrl.hub.To(hub.Room(room)).Send(hub.JSON(event{Type: "message", Name: name, Text: text})); err != nil {
			return err
		}
	}
}

// catchUp adds a member to the room and sends it what was said there since a position. If that is
// not kept any more, the page is told to clear its log, and gets what is kept.
func catchUp(member *hub.Member, since hub.Position) error {
	ctx, cancel := context.WithTimeout(member.Conn().Context(), time.Minute)
	defer cancel()
	for {
		_, err := member.JoinSince(ctx, room, since)
		if !errors.Is(err, hub.ErrHistoryLost) {
			return err
		}
		if err := member.Send(hub.JSON(event{Type: "lost"})); err != nil {
			return err
		}
		since = hub.Position{}
	}
}
