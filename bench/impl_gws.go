package main

import (
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

const gwsName = "lxzan/gws"

var _ = register(implementation{
	name:   gwsName,
	module: "github.com/lxzan/gws",
	config: "as its README's best practice, but without `ParallelEnabled` (an echo keeps the order), with its UTF-8 " +
		"check and without deadlines; broadcast: its `Broadcaster`",
	contextConns: 1000, // a quarter of a millisecond for each message
	serve:        serveGws,
})

func serveGws(l net.Listener, m mode) error {
	handler := &gwsHandler{broadcast: m.Broadcasts()}
	upgrader := gws.NewUpgrader(handler, &gws.ServerOption{
		Recovery:           gws.Recovery,
		ReadBufferSize:     bufferSize,
		ReadMaxPayloadSize: maxMessageSize,
		CheckUtf8Enabled:   true,
		PermessageDeflate:  gwsDeflate(m),
	})
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop() // on a goroutine, as in its README, so that the request is released
	})
}

func gwsDeflate(m mode) gws.PermessageDeflate {
	bits := m.WindowBits()
	return gws.PermessageDeflate{
		Enabled:               m.Compresses(),
		Threshold:             compressionThreshold,
		ServerContextTakeover: bits > 0,
		ClientContextTakeover: bits > 0,
		ServerMaxWindowBits:   bits, // 0: its default
		ClientMaxWindowBits:   bits,
	}
}

type gwsHandler struct {
	gws.BuiltinEventHandler
	broadcast bool
	conns     set[*gws.Conn]
}

func (h *gwsHandler) OnOpen(socket *gws.Conn) {
	if h.broadcast {
		h.conns.add(socket)
	}
}

func (h *gwsHandler) OnClose(socket *gws.Conn, _ error) {
	if h.broadcast {
		h.conns.remove(socket)
	}
}

// OnPing answers with the same data (RFC 6455, 5.5.3); the default handler sends an empty pong.
func (h *gwsHandler) OnPing(socket *gws.Conn, payload []byte) { _ = socket.WritePong(payload) }

func (h *gwsHandler) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }() // never fails
	if !h.broadcast {
		_ = socket.WriteMessage(message.Opcode, message.Bytes()) // it closes the connection itself
		return
	}
	b := gws.NewBroadcaster(message.Opcode, append([]byte(nil), message.Bytes()...)) // the broadcast outlives the message
	defer func() { _ = b.Close() }()                                                 // never fails
	for _, member := range h.conns.all() {
		_ = b.Broadcast(member)
	}
}
