// Command chat serves chat rooms and a small page to try them with:
//
//	go run ./examples/chat
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

//go:embed index.html
var page embed.FS

// Chat is a set of rooms. The members of a room see each other join, talk and leave.
type Chat struct {
	hub      *hub.Hub
	presence sync.Mutex // orders announcements, so that the last one is up to date
}

// An event is sent as JSON to everyone in a room.
type event struct {
	Type string   `json:"type"` // joined, left, message
	Name string   `json:"name"` // of the member that joined, left or sent the message
	Text string   `json:"text,omitempty"`
	Here []string `json:"here,omitempty"` // the members that are in the room now
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
		if err := c.hub.To(hub.Room(room)).Send(hub.JSON(event{Type: "message", Name: name, Text: string(text)})); err != nil {
			return err
		}
	}
}

// announce sends an event with the current members to all members of a room, including one that
// has just joined.
func (c *Chat) announce(room string, e event) {
	c.presence.Lock()
	defer c.presence.Unlock()
	for _, member := range c.hub.In(room) {
		name, _ := member.Get("name").(string)
		e.Here = append(e.Here, name)
	}
	_ = c.hub.To(hub.Room(room)).Send(hub.JSON(e)) // it can fail only with a broker
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", listener.Addr())
	if err := run(ctx, listener); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done, then closes every connection and returns nil.
func run(ctx context.Context, listener net.Listener) error {
	rooms := hub.New(hub.Options{})
	chat := &Chat{hub: rooms}
	upgrader := websocket.New(chat)
	upgrader.MaxMessageSize = 2048
	upgrader.HeartbeatInterval = 15 * time.Second // the page gives up after 25
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.FileServerFS(page))
	mux.HandleFunc("GET /chat/check", chat.check)
	upgrader.RegisterRoutes(mux, "/chat")
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second) // a client that does not answer takes 10
		defer cancel()
		ended <- errors.Join(upgrader.Shutdown(ctx), rooms.Shutdown(ctx), server.Shutdown(ctx), server.Close())
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
