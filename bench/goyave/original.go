package main

import (
	"sync"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/bench/internal/serving"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
	"goyave.dev/goyave/v5/websocket"
)

// original serves with the WebSocket package of Goyave itself.
func original(m serving.Mode) upgrader {
	var controller websocket.Controller = new(originalEcho)
	if m.Broadcasts() {
		controller = new(originalBroadcast)
	}
	u := websocket.New(controller)
	u.Settings.EnableCompression = m.Compresses() // with the default buffers, taken over from net/http
	return u
}

type originalEcho struct{ goyave.Component }

func (*originalEcho) Serve(conn *websocket.Conn, _ *goyave.Request) error {
	conn.SetReadLimit(serving.MaxMessageSize)
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return errors.New(err)
		}
		if messageType == ws.TextMessage && !utf8.Valid(message) {
			return errors.New("text is not UTF-8")
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return errors.Errorf("write: %w", err)
		}
	}
}

// originalBroadcast is like the broadcast of gorilla/websocket, which this package writes with.
type originalBroadcast struct {
	goyave.Component
	members sync.Map // its keys are *originalMember
}

// originalMember has a lock, because gorilla allows one writer at a time.
type originalMember struct {
	mu   sync.Mutex
	conn *websocket.Conn
}

func (b *originalBroadcast) Serve(conn *websocket.Conn, _ *goyave.Request) error {
	conn.SetReadLimit(serving.MaxMessageSize)
	self := &originalMember{conn: conn}
	b.members.Store(self, nil)
	defer b.members.Delete(self)
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return errors.New(err)
		}
		prepared, err := ws.NewPreparedMessage(messageType, message)
		if err != nil {
			return errors.New(err)
		}
		for key := range b.members.Range {
			if member, ok := key.(*originalMember); ok { // always
				member.send(prepared)
			}
		}
	}
}

func (m *originalMember) send(prepared *ws.PreparedMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.conn.WritePreparedMessage(prepared) // the read of a failed connection returns the error
}
