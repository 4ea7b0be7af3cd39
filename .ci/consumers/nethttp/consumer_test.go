// Package consumer is what an application on net/http imports.
package consumer

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
)

type lobby struct{ rooms *hub.Hub }

func (l *lobby) Serve(conn *websocket.Conn, _ *http.Request) error {
	if _, err := l.rooms.Join(conn, "lobby"); err != nil {
		return err
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := l.rooms.To(hub.Room("lobby")).Send(hub.Text(string(text))); err != nil {
			return err
		}
	}
}

func TestLobby(t *testing.T) {
	upgrader := websocket.New(&lobby{rooms: hub.New(hub.Options{})})
	client := wstest.Dial(t, upgrader, "/", nil)
	client.WriteText("hello")
	client.ExpectText("hello")
	client.Close(websocket.CloseNormalClosure, "bye")
}

func TestDial(t *testing.T) {
	upgrader := websocket.New(&lobby{rooms: hub.New(hub.Options{})})
	mux := http.NewServeMux()
	upgrader.RegisterRoutes(mux, "/lobby")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+listener.Addr().String()+"/lobby", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessageContext(ctx, websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.ReadMessageContext(ctx); err != nil || string(text) != "hello" {
		t.Fatalf("got %q, %v", text, err)
	}
	if err := conn.Close(websocket.CloseNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	if err := upgrader.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	<-served
}
