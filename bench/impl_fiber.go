package main

import (
	"net"
	"sync"
	"unicode/utf8"

	fasthttpws "github.com/fasthttp/websocket"
	"github.com/gofiber/contrib/v3/websocket"
	"github.com/gofiber/fiber/v3"
)

var _ = register(implementation{
	name:   "gofiber/contrib/websocket",
	module: "github.com/gofiber/contrib/v3/websocket",
	below:  []string{"github.com/gofiber/fiber/v3", "github.com/fasthttp/websocket", "github.com/valyala/fasthttp"},
	config: "the example of its README on Fiber v3, with a read limit; UTF-8 checked by the loop; broadcast: prepared " +
		"messages, one lock a connection",
	lacks: withoutContext("it has no context takeover"),
	serve: serveFiber,
})

func serveFiber(l net.Listener, m mode) error {
	serve := fiberEcho
	if m.Broadcasts() {
		serve = new(fiberBroadcast).serve
	}
	app := fiber.New()
	app.Get("/", websocket.New(func(conn *websocket.Conn) {
		conn.SetReadLimit(maxMessageSize)
		serve(conn)
	}, websocket.Config{
		ReadBufferSize:    bufferSize,
		WriteBufferSize:   bufferSize,
		EnableCompression: m.Compresses(),
	}))
	return app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true})
}

func fiberEcho(conn *websocket.Conn) {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil || messageType == websocket.TextMessage && !utf8.Valid(message) {
			return
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return
		}
	}
}

type fiberBroadcast struct{ conns set[*fiberMember] }

type fiberMember struct {
	mu   sync.Mutex
	conn *websocket.Conn
}

func (b *fiberBroadcast) serve(conn *websocket.Conn) {
	self := &fiberMember{conn: conn}
	b.conns.add(self)
	defer b.conns.remove(self)
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		prepared, err := fasthttpws.NewPreparedMessage(messageType, message)
		if err != nil {
			return
		}
		for _, member := range b.conns.all() {
			member.mu.Lock()
			_ = member.conn.WritePreparedMessage(prepared) // the read of a failed connection returns the error
			member.mu.Unlock()
		}
	}
}
