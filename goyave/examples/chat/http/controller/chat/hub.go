package chat

import (
	"encoding/json"
	"time"

	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/hub"
)

// HubOptions returns the options of the hub that the controller needs. The hub tells the members who
// is in the room, and keeps its last messages.
func HubOptions() hub.Options {
	return hub.Options{
		Queue:    websocket.QueueLimit{Bytes: 256 << 10}, // a client that falls behind further is disconnected
		Presence: &hub.PresenceOptions{List: here, Changes: changes},
		History: &hub.HistoryOptions{
			Rooms: func(string) hub.Keep { return hub.Keep{Messages: 100, Age: 24 * time.Hour} },
			Stamp: stamp,
		},
	}
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
