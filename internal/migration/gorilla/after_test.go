package gorilla_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
)

type Echo struct{}

func (ctrl *Echo) Serve(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

func routes(mux *http.ServeMux) {
	upgrader := websocket.New(&Echo{})
	upgrader.AllowedOrigins = []string{"https://app.example.com"}
	upgrader.RegisterRoutes(mux, "/echo")
}

type Quotes struct {
	subscribe func(context.Context) <-chan []byte // returns a channel of its own for each connection
}

func (ctrl *Quotes) Serve(conn *websocket.Conn, request *http.Request) error {
	feed := ctrl.subscribe(request.Context())
	conn.Go(func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case quote := <-feed:
				if err := conn.WriteMessage(websocket.TextMessage, quote); err != nil {
					return err
				}
			}
		}
	})
	for {
		_, question, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(websocket.TextMessage, bytes.ToUpper(question)); err != nil {
			return err
		}
	}
}

func quotesRoute(mux *http.ServeMux, subscribe func(context.Context) <-chan []byte) {
	upgrader := websocket.New(&Quotes{subscribe: subscribe})
	upgrader.MaxMessageSize = 4096
	upgrader.PingInterval = 50 * time.Second
	upgrader.PongTimeout = 10 * time.Second
	upgrader.RegisterRoutes(mux, "/quotes")
}

type Chat struct{ rooms *hub.Hub }

func (ctrl *Chat) Serve(conn *websocket.Conn, request *http.Request) error {
	room := request.PathValue("room")
	if _, err := ctrl.rooms.Join(conn, room); err != nil {
		return err
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := ctrl.rooms.To(hub.Room(room)).Send(hub.Text(string(text))); err != nil {
			return err
		}
	}
}

func chatRoute(mux *http.ServeMux) {
	upgrader := websocket.New(&Chat{rooms: hub.New(hub.Options{})})
	upgrader.MaxMessageSize = 512
	upgrader.RegisterRoutes(mux, "/chat/{room}")
}

func logOut(conn *websocket.Conn) error {
	return conn.Close(4001, "logged out")
}

func ask(ctx context.Context, address, question string) (string, error) {
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.CloseNow() }() // where Close is not reached
	if err := conn.WriteMessageContext(ctx, websocket.TextMessage, []byte(question)); err != nil {
		return "", err
	}
	_, answer, err := conn.ReadMessageContext(ctx)
	if err != nil {
		return "", err
	}
	return string(answer), conn.Close(websocket.CloseNormalClosure, "")
}

func TestEcho(t *testing.T) {
	client := wstest.Dial(t, websocket.New(&Echo{}), "/", nil)
	client.WriteText("hello")
	client.ExpectText("hello")
	client.Close(websocket.CloseNormalClosure, "bye")
}

func TestSilentClientIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wstest.DialRaw(t, websocket.New(&Echo{}), "/", &wstest.Options{Timeout: -1})
		start := time.Now()
		if ping, err := client.Receive(); err != nil || ping.Opcode != wstest.OpPing {
			t.Fatal(ping, err)
		}
		client.ExpectEnd() // no pong has come
		if waited := time.Since(start); waited != 40*time.Second {
			t.Errorf("dropped after %v", waited)
		}
	})
}

// A Legacy has the pumps that were written for gorilla.
type Legacy struct {
	subscribe func(context.Context) <-chan []byte
}

func (ctrl *Legacy) Serve(conn *websocket.Conn, request *http.Request) error {
	s := &session{conn: conn.Conn, answers: make(chan []byte), ended: make(chan struct{})}
	conn.Go(func(context.Context) error {
		s.readPump()
		return nil
	})
	s.writePump(ctrl.subscribe(request.Context()))
	return nil
}
