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
	room       = "chat" // in the hub
	maxMessage = 2048   // bytes that a client may send at once
)

// Controller is one room. The hub writes to the members; what it reads of one, Serve
// gives to the hub.
type Controller struct {
	goyave.Component
	hub *websocket.HubService

	// presence is held while somebody joins or leaves, so that each name is taken once
	// and the last word on who is here is true. It waits for no connection.
	presence sync.Mutex
}

// Init finds the hub.
func (ctrl *Controller) Init(server *goyave.Server) {
	ctrl.Component.Init(server)
	ctrl.hub = websocket.HubOf(server)
}

// RegisterRoute has the name validated before the upgrade. What is wrong with it, the page
// asks before it connects: browsers keep from it why a handshake is refused.
func (ctrl *Controller) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("", handler).ValidateQuery(JoinRequest)
	router.Get("/check", ctrl.check).ValidateQuery(JoinRequest)
}

// check answers 204 where nothing is wrong with the name.
func (ctrl *Controller) check(response *goyave.Response, request *goyave.Request) {
	name, _ := request.Query["name"].(string) // it was validated
	if ctrl.taken(name) {
		response.Status(http.StatusConflict)
		return
	}
	response.Status(http.StatusNoContent)
}

// Serve is the whole life of one member.
func (ctrl *Controller) Serve(conn *websocket.Conn, request *goyave.Request) error {
	name, _ := request.Query["name"].(string) // it was validated
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
		if err := ctrl.hub.Broadcast(room, hub.JSON(event{Type: "message", Name: name, Text: text})); err != nil {
			return err
		}
	}
}

// nameKey is what a member's name is kept under.
type nameKey struct{}

// join lets somebody in, unless the name is taken, and tells everybody.
func (ctrl *Controller) join(conn *websocket.Conn, name string) (*hub.Member, error) {
	ctrl.presence.Lock()
	defer ctrl.presence.Unlock()
	if ctrl.taken(name) { // maybe by a connection of the same person whose network died
		return nil, websocket.NewCloseError(websocket.CloseTryAgainLater, "the name is taken")
	}
	member, err := ctrl.hub.Join(conn)
	if err != nil {
		return nil, err
	}
	member.Set(nameKey{}, name) // before the room has the member
	if err := member.Join(room); err != nil {
		return nil, err
	}
	return member, ctrl.hub.Broadcast(room, hub.JSON(event{Type: "joined", Name: name, Here: ctrl.names()}))
}

// leave tells everybody that a member has left. At shutdown all do, which is no news.
func (ctrl *Controller) leave(member *hub.Member, name string) {
	if errors.Is(context.Cause(member.Conn().Context()), websocket.ErrShutdown) {
		return
	}
	ctrl.presence.Lock()
	defer ctrl.presence.Unlock()
	member.Leave(room) // as it does by itself when the connection has ended, but maybe later
	err := ctrl.hub.Broadcast(room, hub.JSON(event{Type: "left", Name: name, Here: ctrl.names()}))
	if err != nil {
		ctrl.Logger().Error(err)
	}
}

// taken reports whether a member has the name.
func (ctrl *Controller) taken(name string) bool {
	return slices.ContainsFunc(ctrl.names(), func(other string) bool { return strings.EqualFold(name, other) })
}

// names are those of all members, in the order in which they came.
func (ctrl *Controller) names() []string {
	members := ctrl.hub.In(room)
	names := make([]string, len(members))
	for i, member := range members {
		names[i], _ = member.Get(nameKey{}).(string)
	}
	return names
}

// An event is what members are sent, as JSON.
type event struct {
	Type string   `json:"type"` // joined, left, message
	Name string   `json:"name"` // whose
	Text string   `json:"text,omitempty"`
	Here []string `json:"here,omitempty"` // the names of all members now
}
