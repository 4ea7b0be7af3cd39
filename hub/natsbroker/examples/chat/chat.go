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

// announceInterval is the time after which each node says again who is there. The page
// forgets a node that has said nothing for three times as long.
const announceInterval = 2 * time.Second

// Chat is rooms of people who see each other come, talk and leave, at whatever node
// they are. A node knows its own members only: each tells everybody of those, and the
// pages put the lists together.
type Chat struct {
	hub      *hub.Hub
	node     string     // its name; another one after each start
	presence sync.Mutex // so that the last word on who is here is true
}

// An event is what everybody in a room is sent, as JSON.
type event struct {
	Type string   `json:"type"` // joined, left, message, here
	Name string   `json:"name,omitempty"`
	Text string   `json:"text,omitempty"`
	Node string   `json:"node"`
	Here []string `json:"here,omitempty"` // who is in the room now, at this node
}

// proper are names and rooms of letters, accents, digits, punctuation, emoji and spaces.
var proper = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{P}\p{So} ]{1,20}$`)

var errImproper = errors.New("a name and a room have 1 to 20 letters, digits, punctuation marks or spaces each")

// CheckUpgrade refuses clients without a proper name or room.
func (c *Chat) CheckUpgrade(r *http.Request) error {
	for _, key := range []string{"name", "room"} {
		value := r.URL.Query().Get(key)
		if !proper.MatchString(value) || value != strings.TrimSpace(value) {
			return &websocket.RefusedError{Status: http.StatusUnprocessableEntity, Reason: errImproper}
		}
	}
	return nil
}

// check tells a page what CheckUpgrade would say: browsers keep that from it.
func (c *Chat) check(w http.ResponseWriter, r *http.Request) {
	var refused *websocket.RefusedError
	if errors.As(c.CheckUpgrade(r), &refused) {
		http.Error(w, refused.Error(), refused.Status)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Serve is the whole life of one member. It reads; the hub writes.
func (c *Chat) Serve(conn *websocket.Conn, r *http.Request) error {
	name, room := r.URL.Query().Get("name"), r.URL.Query().Get("room")
	member, err := c.hub.Join(conn)
	if err != nil {
		return err
	}
	member.Set("name", name) // before anybody sees the member in the room
	if err := member.Join(room); err != nil {
		return err
	}
	c.announce(room, event{Type: "joined", Name: name})
	defer func() {
		member.Leave(room) // which would happen by itself, but maybe later
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

// announce tells all in a room who is there now, at this node.
func (c *Chat) announce(room string, e event) {
	c.presence.Lock()
	defer c.presence.Unlock()
	for _, member := range c.hub.In(room) {
		name, _ := member.Get("name").(string)
		e.Here = append(e.Here, name)
	}
	c.broadcast(room, e)
}

// announceAll says again and again who is there: to those who have joined at other
// nodes since, and for the case that something was lost.
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

// broadcast sends an event to all in a room. If other nodes do not get it, the members
// of this one have it all the same, and go on.
func (c *Chat) broadcast(room string, e event) {
	e.Node = c.node
	if err := c.hub.Broadcast(room, hub.JSON(e)); err != nil {
		log.Print(err)
	}
}
