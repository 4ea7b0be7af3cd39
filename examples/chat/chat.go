package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// Chat is a set of rooms. The members of a room see who else is there, what they say, and what was
// said before.
type Chat struct{ hub *hub.Hub }

// NewChat returns a chat without rooms: on this node alone if the broker is nil, else on all nodes
// that the broker connects. What was said in a room is kept for a day: where everybody may open rooms,
// their number should have a limit.
func NewChat(broker hub.Broker) *Chat {
	return &Chat{hub.New(hub.Options{
		Broker:   broker,
		Presence: &hub.PresenceOptions{List: here, Changes: changes},
		History: &hub.HistoryOptions{
			Rooms: func(string) hub.Keep { return hub.Keep{Messages: 100, Age: 24 * time.Hour} },
			Stamp: stamp,
		},
	})}
}

// An event is sent as JSON to the members of a room.
type event struct {
	Type   string       `json:"type"`            // here, changes, message, lost
	People []string     `json:"people,omitzero"` // here: the names of those who are in the room
	Joined []string     `json:"joined,omitzero"` // changes: the names of those who were not there before
	Left   []string     `json:"left,omitzero"`   // changes: the names of those who are not there any more
	Name   string       `json:"name,omitzero"`   // message: who said it
	Text   string       `json:"text,omitzero"`   // message: what was said
	At     hub.Position `json:"at,omitzero"`     // message: its position in the history of the room
}

// here is what a member gets first.
func here(_ string, people []hub.Person) hub.Message {
	e := event{Type: "here", People: []string{}}
	for _, person := range people {
		e.People = append(e.People, person.Key)
	}
	return hub.JSON(e)
}

// changes is what all members of a room get when people have come or gone.
func changes(_ string, list []hub.PresenceChange) hub.Message {
	e := event{Type: "changes", Joined: []string{}, Left: []string{}}
	for _, change := range list {
		if change.Kind == hub.PersonJoined {
			e.Joined = append(e.Joined, change.Key)
		} else {
			e.Left = append(e.Left, change.Key)
		}
	}
	return hub.JSON(e)
}

// stamp puts the position into a message. A page that connects again asks for what came since then.
func stamp(message hub.Message, at hub.Position) hub.Message {
	var e event
	if err := json.Unmarshal(message.Data(), &e); err != nil {
		return message
	}
	e.At = at
	return hub.JSON(e)
}

// validName matches names and rooms: letters, accents, digits, punctuation, emoji and spaces.
var validName = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{P}\p{So} ]{1,20}$`)

var errInvalidName = errors.New("a name and a room have 1 to 20 letters, digits, punctuation marks or spaces each")

// CheckUpgrade refuses clients without a valid name or room, or with a malformed position.
func (c *Chat) CheckUpgrade(r *http.Request) error {
	for _, key := range []string{"name", "room"} {
		value := r.URL.Query().Get(key)
		if !validName.MatchString(value) || value != strings.TrimSpace(value) {
			return &websocket.RefusedError{Status: http.StatusUnprocessableEntity, Reason: errInvalidName}
		}
	}
	if _, err := hub.ParsePosition(r.URL.Query().Get("since")); err != nil {
		return &websocket.RefusedError{Status: http.StatusUnprocessableEntity, Reason: err}
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
	since, _ := hub.ParsePosition(r.URL.Query().Get("since")) // CheckUpgrade has checked it
	member, err := c.hub.Join(conn)
	if err != nil {
		return err
	}
	if err := catchUp(member, room, since); err != nil {
		return err
	}
	if err := member.SetKey(name); err != nil { // from now on, the person is in the room
		return err
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if len(text) == 0 {
			continue
		}
		if err := c.hub.To(hub.Room(room)).Send(hub.JSON(event{Type: "message", Name: name, Text: string(text)})); err != nil {
			return err
		}
	}
}

// catchUp adds a member to a room and sends it what was said there since a position. If that is not
// kept any more, the page is told to clear its log, and gets what is kept.
func catchUp(member *hub.Member, room string, since hub.Position) error {
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
