package main

import (
	"net/http"

	"github.com/goyave-contrib/websocket"
)

// A messageController does what a controller does, with OnMessage instead of Serve.
type messageController struct{ controller }

// Open begins what the query says. If the query says nothing about messages, Open does it all.
func (ctrl *messageController) Open(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error) {
	v := ctrl.server(conn, r)
	h := &handler{v: v, onMessage: func(int, []byte) error { return nil }}
	switch do := r.URL.Query().Get("do"); do {
	case "exchange":
		h.end = v.beginExchange()
		h.onMessage = func(_ int, p []byte) error {
			if string(p) == goodbye {
				return normalEnd
			}
			return v.answer(p)
		}
	case "echo":
		h.onMessage = v.sendBack
	case "idle":
		v.boundReads()
	case "close":
		v.startClosing()
		v.boundReads()
	case "panic beside":
		v.panicBeside()
		v.boundReads()
	case "panic", "goexit":
		if v.random.IntN(2) == 0 {
			return nil, v.serve(do)
		}
		v.boundReads()
		h.onMessage = func(int, []byte) error { return v.serve(do) }
	default:
		if err := v.serve(do); err != nil {
			return nil, err
		}
		return nil, normalEnd
	}
	v.g.handled.Add(1)
	return h, nil
}

// normalEnd ends a connection as a Serve does that returns nil.
var normalEnd = websocket.NewCloseError(websocket.CloseNormalClosure, websocket.NormalClosureMessage)

// A handler handles the messages of one connection.
type handler struct {
	v         *server
	onMessage func(messageType int, p []byte) error
	end       func() // nil: there is nothing to do
	busy      bool   // whether a call runs; without a lock, so that the race detector sees calls that overlap
	closed    bool
}

func (h *handler) OnMessage(messageType int, p []byte) error {
	h.enter()
	defer func() { h.busy = false }()
	h.v.g.read.Add(1)
	return h.onMessage(messageType, p)
}

func (h *handler) OnClose(error) {
	h.enter()
	h.closed = true // it stays busy
	h.v.g.handled.Add(-1)
	if h.end != nil {
		h.end()
	}
}

// enter checks that no other call runs, and that the connection is not closed.
func (h *handler) enter() {
	if h.busy || h.closed {
		h.v.g.s.problems.add("%s %d: called twice, or after OnClose", h.v.l.kind, h.v.l.id)
	}
	h.busy = true
}
