package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// announceInterval is the time between two announcements of a node's members. The page forgets a
// node that has announced nothing for three times as long.
const announceInterval = 2 * time.Second

// Chat is a set of rooms. The members of a room see each other join, talk and leave, on all nodes.
// A node knows only its own members: each node announces them to all, and the pages combine the
// lists.
type Chat struct {
	hub      *hub.Hub
	node     string     // the name of this node; a new one after each start
	presence sync.Mutex // orders announcements, so that the last one is up to date
}

// An event is sent as JSON to everyone in a room.
type event struct {
	Type string   `json:"type"` // joined, left, message, here
	Name string   `json:"name,omitempty"`
	Text string   `json:"text,omitempty"`
	Node string   `json:"node"`
	Here []string `json:"here,omitempty"` // the members that are in the room now, on this node
}

// validName matches names and rooms: letters, accents, digits, punctuation, emoji and spaces.
var validName = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{P}\p{So} ]{1,20}$`)

var errInvalidName = errors.New("a name and a room have 1 to 20 letters, digits, punctuation marks or spaces each")

// CheckUpgrade refuses clients without a valid name or room.
func (c *Chat) CheckUpgrade(r *http.Request) error {
	for _, key := range []string{"name", "room"} {
		value := r.URL.Query().Get(key)
		if !validName.MatchString(value) || value != strings.TrimSpace(value) {
			return &websocket.RefusedError{Status: http.StatusUnprocessableEntity, Reason: errInvalidName}
		}
	}
	return nil
}

// check responds with the result of CheckUpgrade. The page calls it because browsers do not show a
// page why a handshake was refused.
func (c *Chat) check(w http.ResponseWriter, r *http.Request) {
	var refused *websocket.RefusedError
	if errors.As(c.CheckUpgrade(r), &refused) {
		http.Error(w, refused.Error(), refused.Status)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Serve handles one member: it reads the member's messages, and the hub writes to the member.
func (c *Chat) Serve(conn *websocket.Conn, r *http.Request) error {
	name, room := r.URL.Query().Get("name"), r.URL.Query().Get("room")
	member, err := c.hub.Join(conn)
	if err != nil {
		return err
	}
	member.Set("name", name) // before other members can see this one in the room
	if err := member.Join(room); err != nil {
		return err
	}
	c.announce(room, event{Type: "joined", Name: name})
	defer func() {
		member.Leave(room) // it would happen anyway, but perhaps after the announcement
		c.announce(room, event{Type: "left", Name: name})
	}()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		c.broadcast(room, event{Type: "message", Name: name, Text: string(text)})
	}
}

// announce sends an event with the current members of this node to all members of a room.
func (c *Chat) announce(room string, e event) {
	c.presence.Lock()
	defer c.presence.Unlock()
	for _, member := range c.hub.In(room) {
		name, _ := member.Get("name").(string)
		e.Here = append(e.Here, name)
	}
	c.broadcast(room, e)
}

// announceAll announces the members of all rooms at intervals, for members that have joined on
// other nodes in the meantime, and because messages between nodes may be lost.
func (c *Chat) announceAll(ctx context.Context) {
	ticker := time.NewTicker(announceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, room := range c.hub.Rooms() {
				c.announce(room, event{Type: "here"})
			}
		}
	}
}

// broadcast sends an event to all members of a room. If it does not reach the other nodes, it still
// reaches the members of this one, so the connection goes on.
func (c *Chat) broadcast(room string, e event) {
	e.Node = c.node
	if err := c.hub.To(hub.Room(room)).Send(hub.JSON(e)); err != nil {
		log.Print(err)
	}
}
