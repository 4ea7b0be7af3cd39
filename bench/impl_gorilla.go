package main

import (
	"net"
	"net/http"
	"sync"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
)

const gorillaName = "gorilla/websocket"

var _ = register(implementation{
	name:   gorillaName,
	module: "github.com/gorilla/websocket",
	config: "the loop of its echo example with a read limit; UTF-8 checked by the loop; broadcast: prepared messages, " +
		"one lock a connection",
	lacks: withoutContext("it has no context takeover"),
	serve: serveGorilla,
})

func serveGorilla(l net.Listener, m mode) error {
	upgrader := ws.Upgrader{ReadBufferSize: bufferSize, WriteBufferSize: bufferSize, EnableCompression: m.Compresses()}
	serve := gorillaEcho
	if m.Broadcasts() {
		serve = new(gorillaBroadcast).serve
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		conn.SetReadLimit(maxMessageSize)
		serve(conn)
	})
}

func gorillaEcho(conn *ws.Conn) {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil || messageType == ws.TextMessage && !utf8.Valid(message) {
			return
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return
		}
	}
}

type gorillaBroadcast struct{ conns set[*gorillaMember] }

// gorillaMember has a lock, because gorilla allows one writer at a time.
type gorillaMember struct {
	mu   sync.Mutex
	conn *ws.Conn
}

func (b *gorillaBroadcast) serve(conn *ws.Conn) {
	self := &gorillaMember{conn: conn}
	b.conns.add(self)
	defer b.conns.remove(self)
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		prepared, err := ws.NewPreparedMessage(messageType, message)
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
