package fiber_test

import (
	"fmt"
	"log"

	"github.com/gofiber/contrib/v3/websocket"
	"github.com/gofiber/fiber/v3"
)

func routes(app *fiber.App) {
	app.Use("/rooms", func(c fiber.Ctx) error {
		if c.Cookies("session") != "secret" {
			return fiber.ErrUnauthorized
		}
		c.Locals("user", "ada")
		return c.Next()
	})
	app.Get("/rooms/:room", websocket.New(func(conn *websocket.Conn) {
		greeting := fmt.Sprint("hello ", conn.Locals("user"), " in ", conn.Params("room"), conn.Query("mood"))
		if err := conn.WriteMessage(websocket.TextMessage, []byte(greeting)); err != nil {
			log.Println("write:", err)
			return
		}
		for {
			messageType, message, err := conn.ReadMessage()
			if err != nil {
				log.Println("read:", err)
				return
			}
			if err := conn.WriteMessage(messageType, message); err != nil {
				log.Println("write:", err)
				return
			}
		}
	}, websocket.Config{
		Origins:          []string{"https://app.example.com"},
		AllowEmptyOrigin: true,
	}))
}
