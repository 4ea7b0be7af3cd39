package main

import (
	"context"
	"net"
	"net/http"
	"unicode/utf8"

	"github.com/coder/websocket"
)

const coderName = "coder/websocket"

var _ = register(implementation{
	name:   coderName,
	module: "github.com/coder/websocket",
	config: "`Read` and `Write` with a context that does not end (its buffers have no setting); UTF-8 checked by the " +
		"loop; it has no prepared messages: broadcast writes the message to each connection",
	lacks: map[mode]string{
		context12: "it has windows of 15 bits only", context9: "it has windows of 15 bits only",
	},
	contextConns: 1000, // 1.2 MB each
	serve:        serveCoder,
})

func serveCoder(l net.Listener, m mode) error {
	options := &websocket.AcceptOptions{CompressionThreshold: compressionThreshold}
	switch {
	case m.WindowBits() > 0:
		options.CompressionMode = websocket.CompressionContextTakeover
	case m.Compresses():
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	serve := coderEcho
	if m.Broadcasts() {
		serve = new(coderBroadcast).serve
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, options)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(maxMessageSize)
		serve(context.Background(), conn)
	})
}

func coderEcho(ctx context.Context, conn *websocket.Conn) {
	for {
		messageType, message, err := conn.Read(ctx)
		if err != nil || messageType == websocket.MessageText && !utf8.Valid(message) {
			return
		}
		if err := conn.Write(ctx, messageType, message); err != nil {
			return
		}
	}
}

type coderBroadcast struct{ conns set[*websocket.Conn] }

func (b *coderBroadcast) serve(ctx context.Context, conn *websocket.Conn) {
	b.conns.add(conn)
	defer b.conns.remove(conn)
	for {
		messageType, message, err := conn.Read(ctx)
		if err != nil {
			return
		}
		for _, member := range b.conns.all() {
			_ = member.Write(ctx, messageType, message) // the read of a failed connection returns the error
		}
	}
}
