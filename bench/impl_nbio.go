package main

import (
	"net"
	"net/http"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

const nbioName = "lesismal/nbio"

var _ = register(implementation{
	name:   nbioName,
	module: "github.com/lesismal/nbio",
	config: "its own HTTP engine without blocking (its default, one read buffer of 64 KiB a poller), payloads released; it checks UTF-8 itself; it has no " +
		"prepared messages: broadcast writes the message to each connection",
	lacks: withoutContext("it has no context takeover"),
	serve: serveNbio,
})

func serveNbio(l net.Listener, m mode) error {
	logging.SetLevel(logging.LevelError)
	var conns set[*websocket.Conn]
	upgrader := websocket.NewUpgrader()
	upgrader.MessageLengthLimit = maxMessageSize
	upgrader.EnableCompression(m.Compresses())
	upgrader.OnMessage(func(conn *websocket.Conn, messageType websocket.MessageType, message []byte) {
		if !m.Broadcasts() {
			_ = conn.WriteMessage(messageType, message) // it closes the connection itself
			return
		}
		for _, member := range conns.all() {
			_ = member.WriteMessage(messageType, message)
		}
	})
	if m.Broadcasts() {
		upgrader.OnOpen(func(conn *websocket.Conn) { conns.add(conn) })
		upgrader.OnClose(func(conn *websocket.Conn, _ error) { conns.remove(conn) })
	}
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:                 "tcp",
		Addrs:                   []string{l.Addr().String()},
		Listen:                  func(string, string) (net.Listener, error) { return l, nil },
		MaxLoad:                 1 << 20, // its default of 10,000 connections is too few here
		ReleaseWebsocketPayload: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = upgrader.Upgrade(w, r, nil) // it has answered
		}),
	})
	upgrader.Engine = engine
	if err := engine.Start(); err != nil {
		return err
	}
	select {} // its goroutines serve
}
