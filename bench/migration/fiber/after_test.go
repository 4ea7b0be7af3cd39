package fiber_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/goyave-contrib/websocket"
)

// A visit is what a connection needs of its fiber.Ctx, copied.
type visit struct{ user, room, mood string }

type visitKey struct{}

func enter(upgrader *websocket.Upgrader) fiber.Handler {
	return func(c fiber.Ctx) error {
		v := visit{room: strings.Clone(c.Params("room")), mood: strings.Clone(c.Query("mood"))}
		v.user, _ = c.Locals("user").(string)
		ctx := context.WithValue(context.Background(), visitKey{}, v)
		return adaptor.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			upgrader.ServeHTTP(w, r.WithContext(ctx))
		}))(c)
	}
}

type Room struct{}

func (ctrl *Room) Serve(conn *websocket.Conn, request *http.Request) error {
	v, _ := request.Context().Value(visitKey{}).(visit)
	greeting := fmt.Sprint("hello ", v.user, " in ", v.room, v.mood)
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

func inFront(upgrader *websocket.Upgrader, app *fiber.App) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /rooms/{room}", upgrader)
	mux.Handle("/", adaptor.FiberApp(app))
	return mux
}
