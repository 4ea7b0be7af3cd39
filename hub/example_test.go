package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// chat sends each message of a member to the other members of the room.
type chat struct{ hub *hub.Hub }

func (ctrl *chat) Serve(conn *websocket.Conn, r *http.Request) error {
	room := r.PathValue("room")
	member, err := ctrl.hub.Join(conn, room)
	if err != nil {
		return err
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := ctrl.hub.To(hub.Room(room)).Except(member).Send(hub.Text(string(text))); err != nil {
			return err
		}
	}
}

func Example() {
	rooms := hub.New(hub.Options{})
	upgrader := websocket.New(&chat{hub: rooms})
	mux := http.NewServeMux()
	upgrader.RegisterRoutes(mux, "/chat/{room}")

	// When the server shuts down:
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	fmt.Println(rooms.Shutdown(ctx), upgrader.Shutdown(ctx))
	// Output: <nil> <nil>
}

// Presence: the members of a room learn which users join and leave. A user may have several
// connections, for example of a phone and a laptop.
func ExampleMember_SetKey() {
	type name struct{} // a type of its own, as for a context key
	rooms := hub.New(hub.Options{})
	serve := func(conn *websocket.Conn, r *http.Request) error {
		user := r.URL.Query().Get("user") // a real application asks its session
		member, err := rooms.Join(conn, "lobby")
		if err != nil {
			return err
		}
		if err := member.SetKey(user); err != nil {
			return err
		}
		member.Set(name{}, user)
		if err := rooms.To(hub.Room("lobby")).Except(member).Send(hub.JSON(map[string]any{"came": user})); err != nil {
			return err
		}
		defer func() {
			_ = member.SetKey("")              // removing a key never fails
			if len(rooms.WithKey(user)) == 0 { // the user has no other connection
				_ = rooms.To(hub.Room("lobby")).Send(hub.JSON(map[string]any{"left": user}))
			}
		}()
		<-conn.CloseRead(conn.Context()).Done()
		return nil
	}
	http.Handle("GET /presence", websocket.New(websocket.ControllerFunc(serve)))
}

// Each member gets the list of the people in the room, and then the changes. A page that is loaded again
// is neither gone nor come.
func ExamplePresenceOptions() {
	rooms := hub.New(hub.Options{Presence: &hub.PresenceOptions{
		List: func(room string, people []hub.Person) hub.Message {
			status := map[string]string{}
			for _, p := range people {
				status[p.Key] = string(p.Value)
			}
			return hub.JSON(map[string]any{"room": room, "here": status})
		},
		Changes: func(room string, changes []hub.PresenceChange) hub.Message {
			status := map[string]any{}
			for _, c := range changes {
				status[c.Key] = string(c.Value)
				if c.Kind == hub.PersonLeft {
					status[c.Key] = nil
				}
			}
			return hub.JSON(map[string]any{"room": room, "changes": status})
		},
	}})
	serve := func(conn *websocket.Conn, r *http.Request) error {
		member, err := rooms.Join(conn)
		if err != nil {
			return err
		}
		if err := member.SetKey(r.URL.Query().Get("user")); err != nil { // a real application asks its session
			return err
		}
		if err := member.Join("lobby"); err != nil {
			return err
		}
		for {
			_, status, err := conn.ReadMessage() // such as "away"
			if err != nil {
				return err
			}
			if err := member.SetPresence(status); err != nil {
				return err
			}
		}
	}
	http.Handle("GET /people", websocket.New(websocket.ControllerFunc(serve)))
}

// SendContext waits for a member that has asked for many messages; other members do not wait.
func ExampleMember_SendContext() {
	rooms := hub.New(hub.Options{})
	serve := func(conn *websocket.Conn, _ *http.Request) error {
		member, err := rooms.Join(conn)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(conn.Context(), time.Minute)
		defer cancel()
		for line := range 100_000 {
			if err := member.SendContext(ctx, hub.JSON(line)); err != nil {
				return err
			}
		}
		return nil
	}
	http.Handle("GET /history", websocket.New(websocket.ControllerFunc(serve)))
}

// All connections of a user whose account is closed are disconnected, on all nodes.
func ExampleAudience_Disconnect() {
	rooms := hub.New(hub.Options{})
	http.HandleFunc("DELETE /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := rooms.To(hub.Key(r.PathValue("id"))).Disconnect(4001, "account closed"); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
}

// The newest session of a user wins, on whichever nodes it and the others are.
func ExampleMember_TakeKey() {
	rooms := hub.New(hub.Options{})
	serve := func(conn *websocket.Conn, r *http.Request) error {
		member, err := rooms.Join(conn)
		if err != nil {
			return err
		}
		user := r.URL.Query().Get("user") // a real application asks its session
		if err := member.TakeKey(conn.Context(), user, 4001, "signed in elsewhere"); err != nil {
			return err
		}
		<-conn.CloseRead(conn.Context()).Done()
		return nil
	}
	http.Handle("GET /session", websocket.New(websocket.ControllerFunc(serve)))
}

// A client that was away says which message it has received last, and gets what it has missed.
func ExampleMember_JoinSince() {
	rooms := hub.New(hub.Options{History: &hub.HistoryOptions{
		Rooms: func(string) hub.Keep { return hub.Keep{Messages: 100, Age: time.Hour} },
		Stamp: func(message hub.Message, at hub.Position) hub.Message {
			return hub.JSON(map[string]any{"at": at, "text": string(message.Data())})
		},
	}})
	serve := func(conn *websocket.Conn, r *http.Request) error {
		since, err := hub.ParsePosition(r.URL.Query().Get("since")) // empty: all that is kept
		if err != nil {
			return websocket.NewCloseError(websocket.ClosePolicyViolation, "malformed position")
		}
		member, err := rooms.Join(conn)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(conn.Context(), time.Minute)
		defer cancel()
		_, err = member.JoinSince(ctx, "news", since)
		if errors.Is(err, hub.ErrHistoryLost) {
			return websocket.NewCloseError(4000, "reload") // the page loads the state, and connects from there
		}
		if err != nil {
			return err
		}
		<-conn.CloseRead(conn.Context()).Done()
		return nil
	}
	http.Handle("GET /news", websocket.New(websocket.ControllerFunc(serve)))
}

// A page loads the last messages over HTTP, and the position from which to connect.
func ExampleHub_History() {
	rooms := hub.New(hub.Options{History: &hub.HistoryOptions{
		Rooms: func(string) hub.Keep { return hub.Keep{Messages: 100} },
	}})
	for _, text := range []string{"one", "two", "three"} {
		if err := rooms.To(hub.Room("news")).Send(hub.Text(text)); err != nil {
			fmt.Println(err)
		}
	}
	messages, newest, err := rooms.History(context.Background(), "news", hub.Position{}, 2)
	for _, message := range messages {
		fmt.Println(message.Position.Offset, string(message.Data))
	}
	fmt.Println(newest.Offset, err)
	// Output:
	// 1 one
	// 2 two
	// 3 <nil>
}

// Two hubs work like one. In a real application, each hub is in a process of its own, with a broker
// that connects them.
func ExampleMemory() {
	var network hub.Memory
	one := hub.New(hub.Options{Broker: network.Node()})
	two := hub.New(hub.Options{Broker: network.Node()})
	fmt.Println(one.To(hub.Room("lobby")).Send(hub.Text("to members of both")))
	fmt.Println(one.Shutdown(context.Background()), two.Shutdown(context.Background()))
	// Output:
	// <nil>
	// <nil> <nil>
}
