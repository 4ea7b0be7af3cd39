package main

import (
	"net"
	"net/http"
	"unicode/utf8"

	"github.com/olahol/melody"
)

var _ = register(implementation{
	name:   "olahol/melody",
	module: "github.com/olahol/melody",
	below:  []string{"github.com/gorilla/websocket"},
	config: "its defaults but for buffers and message size; UTF-8 checked by the handler; broadcast: its own",
	lacks:  withoutContext("it has no context takeover"),
	serve:  serveMelody,
})

func serveMelody(l net.Listener, m mode) error {
	server := melody.New()
	server.Upgrader.ReadBufferSize = bufferSize
	server.Upgrader.WriteBufferSize = bufferSize
	server.Upgrader.EnableCompression = m.Compresses()
	server.Config.MaxMessageSize = maxMessageSize
	if m.Broadcasts() {
		server.HandleMessageBinary(func(_ *melody.Session, message []byte) {
			_ = server.BroadcastBinary(message) // fails only once the server is closed
		})
	} else {
		server.HandleMessageBinary(func(s *melody.Session, message []byte) {
			_ = s.WriteBinary(message) // it closes the session itself
		})
	}
	server.HandleMessage(func(s *melody.Session, message []byte) {
		if !utf8.Valid(message) {
			_ = s.Close()
			return
		}
		_ = s.Write(message)
	})
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		_ = server.HandleRequest(w, r) // it has answered
	})
}
