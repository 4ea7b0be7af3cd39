package main

import (
	"io"
	"net"
	"net/http"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

var _ = register(implementation{
	name:   "gobwas/ws",
	module: "github.com/gobwas/ws",
	config: "the first example of its README: `UpgradeHTTP`, `wsutil.ReadClientData` (which checks UTF-8) and " +
		"`WriteServerMessage`, without buffers; deflate: the README's example with `wsflate`; broadcast: compiled frames",
	lacks: withoutContext("its package wsflate has no context takeover"),
	serve: serveGobwas,
})

func serveGobwas(l net.Listener, m mode) error {
	serve := gobwasEcho
	switch {
	case m.Broadcasts():
		serve = new(gobwasBroadcast).serve
	case m.Compresses():
		serve = gobwasDeflate
	}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		var upgrader ws.HTTPUpgrader
		if m.Compresses() {
			extension := wsflate.Extension{Parameters: wsflate.DefaultParameters} // no context takeover
			upgrader.Negotiate = extension.Negotiate
		}
		conn, _, _, err := upgrader.Upgrade(r, w)
		if err != nil {
			return
		}
		go func() { // as in its README; ends with its socket
			defer func() { _ = conn.Close() }()
			serve(conn)
		}()
	})
}

func gobwasEcho(conn net.Conn) {
	for {
		message, op, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		if err := wsutil.WriteServerMessage(conn, op, message); err != nil {
			return
		}
	}
}

func gobwasDeflate(conn net.Conn) {
	for {
		frame, err := ws.ReadFrame(conn)
		if err != nil {
			return
		}
		frame = ws.UnmaskFrameInPlace(frame)
		if frame.Header.OpCode.IsControl() {
			message := wsutil.Message{OpCode: frame.Header.OpCode, Payload: frame.Payload}
			if err := wsutil.HandleClientControlMessage(conn, message); err != nil {
				return
			}
			continue
		}
		if compressed, err := wsflate.IsCompressed(frame.Header); err != nil {
			return
		} else if compressed {
			if frame, err = wsflate.DecompressFrame(frame); err != nil {
				return
			}
		}
		if frame.Header.OpCode == ws.OpText && !utf8.Valid(frame.Payload) {
			return
		}
		answer, err := wsflate.CompressFrame(ws.NewFrame(frame.Header.OpCode, true, frame.Payload))
		if err != nil {
			return
		}
		if err := ws.WriteFrame(conn, answer); err != nil {
			return
		}
	}
}

type gobwasBroadcast struct{ conns set[net.Conn] }

func (b *gobwasBroadcast) serve(conn net.Conn) {
	b.conns.add(conn)
	defer b.conns.remove(conn)
	for {
		message, op, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		frame, err := ws.CompileFrame(ws.NewFrame(op, true, message))
		if err != nil {
			return
		}
		for _, member := range b.conns.all() {
			writeWhole(member, frame)
		}
	}
}

// writeWhole needs no lock: it writes the frame by one call, and a net.Conn does not mix calls.
func writeWhole(w io.Writer, frame []byte) {
	_, _ = w.Write(frame) // the read of a failed connection returns the error
}
