package fiber_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/goyave-contrib/websocket"
)

type userKey struct{}

func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("session"); err != nil || cookie.Value != "secret" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "ada")))
	})
}

type Room struct{}

func (ctrl *Room) Serve(conn *websocket.Conn, request *http.Request) error {
	user, room := request.Context().Value(userKey{}), request.PathValue("room")
	greeting := fmt.Sprint("hello ", user, " in ", room, request.URL.Query().Get("mood"))
	if err := conn.WriteMessage(websocket.TextMessage, []byte(greeting)); err != nil {
		return err
	}
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
	upgrader := websocket.New(&Room{})
	upgrader.AllowedOrigins = []string{"https://app.example.com"}
	mux.Handle("GET /rooms/{room}", authenticated(upgrader))
}
