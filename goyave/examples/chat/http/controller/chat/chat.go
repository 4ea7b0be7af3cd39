// Package chat has the controller of a chat room.
package chat

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

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

	// presence is held while a member joins or leaves, so that each name is unique and the last
	// announcement is up to date. The lock holder does not wait for any connection.
	presence sync.Mutex
}

// Init looks up the hub.
func (ctrl *Controller) Init(server *goyave.Server) {
	ctrl.Component.Init(server)
	ctrl.hub = websocket.HubOf(server)
}

// RegisterRoute validates the name before the upgrade. It also registers a route with which the
// page checks the name before it connects, because browsers do not show a page why a handshake was
// refused.
func (ctrl *Controller) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("", handler).ValidateQuery(JoinRequest)
	router.Get("/check", ctrl.check).ValidateQuery(JoinRequest)
}

// check responds with 204 if the name is valid and free.
func (ctrl *Controller) check(response *goyave.Response, request *goyave.Request) {
	name, _ := request.Query["name"].(string) // validated as a string
	if ctrl.taken(name) {
		response.Status(http.StatusConflict)
		return
	}
	response.Status(http.StatusNoContent)
}

// Serve handles one member.
func (ctrl *Controller) Serve(conn *websocket.Conn, request *goyave.Request) error {
	name, _ := request.Query["name"].(string) // validated as a string
	member, err := ctrl.join(conn, name)
	if err != nil {
		return err
	}
	defer ctrl.leave(member, name)
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

// nameKey is the key of a member's name in its values.
type nameKey struct{}

// join adds a member, unless its name is taken, and announces it.
func (ctrl *Controller) join(conn *websocket.Conn, name string) (*hub.Member, error) {
	ctrl.presence.Lock()
	defer ctrl.presence.Unlock()
	if ctrl.taken(name) { // perhaps by a lost connection of the same user
		return nil, websocket.NewCloseError(websocket.CloseTryAgainLater, "the name is taken")
	}
	member, err := ctrl.hub.Join(conn)
	if err != nil {
		return nil, err
	}
	member.Set(nameKey{}, name) // before other members can see this one
	if err := member.Join(room); err != nil {
		return nil, err
	}
	return member, ctrl.hub.To(hub.Room(room)).Send(hub.JSON(event{Type: "joined", Name: name, Here: ctrl.names()}))
}

// leave announces that a member has left. At shutdown, when all members leave, it does nothing.
func (ctrl *Controller) leave(member *hub.Member, name string) {
	if errors.Is(context.Cause(member.Conn().Context()), websocket.ErrShutdown) {
		return
	}
	ctrl.presence.Lock()
	defer ctrl.presence.Unlock()
	member.Leave(room) // it would happen anyway, but perhaps after the announcement
	err := ctrl.hub.To(hub.Room(room)).Send(hub.JSON(event{Type: "left", Name: name, Here: ctrl.names()}))
	if err != nil {
		ctrl.Logger().Error(err)
	}
}

// taken reports whether a member has the name.
func (ctrl *Controller) taken(name string) bool {
	return slices.ContainsFunc(ctrl.names(), func(other string) bool { return strings.EqualFold(name, other) })
}

// names returns the names of all members, in the order in which they joined.
func (ctrl *Controller) names() []string {
	members := ctrl.hub.In(room)
	names := make([]string, len(members))
	for i, member := range members {
		names[i], _ = member.Get(nameKey{}).(string)
	}
	return names
}

// An event is sent as JSON to the members.
type event struct {
	Type string   `json:"type"` // joined, left, message
	Name string   `json:"name"` // of the member that joined, left or sent the message
	Text string   `json:"text,omitempty"`
	Here []string `json:"here,omitempty"` // the names of all members now
}
