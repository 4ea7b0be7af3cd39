package coder_test

import (
	"context"
	"net/http"
	"time"

	"github.com/goyave-contrib/websocket"
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
	upgrader.AllowedOrigins = []string{"app.example.com"}
	upgrader.RegisterRoutes(mux, "/echo")
}

type Time struct{}

func (ctrl *Time) Serve(conn *websocket.Conn, request *http.Request) error {
	ctx := conn.CloseRead(request.Context())
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-ticks.C:
			if err := conn.WriteJSON(now); err != nil {
				return err
			}
		}
	}
}

func login(ctx context.Context, conn *websocket.Conn) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var hello struct{ Name string }
	if err := conn.ReadJSONContext(ctx, &hello); err != nil {
		return "", err
	}
	return hello.Name, conn.WriteJSONContext(ctx, "welcome")
}

func ask(ctx context.Context, address, question string) (string, error) {
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.WriteMessageContext(ctx, websocket.TextMessage, []byte(question)); err != nil {
		return "", err
	}
	_, answer, err := conn.ReadMessageContext(ctx)
	if err != nil {
		return "", err
	}
	return string(answer), conn.Close(websocket.CloseNormalClosure, "")
}
