package melody_test

import (
	"log"
	"net/http"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

type Chat struct{ members *hub.Hub }

func (ctrl *Chat) Serve(conn *websocket.Conn, request *http.Request) error {
	name, room := request.URL.Query().Get("name"), request.PathValue("room")
	member, err := ctrl.members.Join(conn, room)
	if err != nil {
		return err
	}
	if err := member.SetKey(name); err != nil {
		return err
	}
	defer log.Println(name, "left")
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := ctrl.members.To(hub.Room(room)).Send(hub.Text(name + ": " + string(text))); err != nil {
			return err
		}
	}
}

func chat(mux *http.ServeMux) *hub.Hub {
	members := hub.New(hub.Options{})
	upgrader := websocket.New(&Chat{members: members})
	upgrader.MaxMessageSize = 4096
	upgrader.RegisterRoutes(mux, "/chat/{room}")
	return members
}

func kick(members *hub.Hub, name string) error {
	return members.To(hub.Key(name)).Disconnect(4001, "be nice")
}
