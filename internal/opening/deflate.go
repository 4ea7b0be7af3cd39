package opening

import (
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
)

// UseDeflate has a transport compress what it sends, and inflate what it receives, on the terms of
// the handshake.
func UseDeflate(t *transport.Conn, sends, receives handshake.DeflateSide) {
	t.UseDeflate(deflateTerms(sends), deflateTerms(receives))
}

func deflateTerms(side handshake.DeflateSide) transport.DeflateTerms {
	return transport.DeflateTerms{Takeover: side.Takeover, WindowBits: uint8(side.WindowBits)} //nolint:gosec // 8 to 15
}
