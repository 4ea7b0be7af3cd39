package transport

import (
	"testing"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every pair of first bytes, in every state, is valid or not as RFC 6455 says (5.2 to 5.5), and RFC
// 7692 for compressed messages (6).
func TestEveryHeaderIsCheckedByTheRules(t *testing.T) {
	valid := func(b0, b1 byte, client, deflate, fragmented bool) bool {
		fin, rsv1, rsv23 := b0&0x80 != 0, b0&0x40 != 0, b0&0x30 != 0
		masked, length := b1&0x80 != 0, b1&0x7f
		if rsv23 || masked == client {
			return false
		}
		switch b0 & 0x0f {
		case 0:
			return fragmented && !rsv1
		case 1, 2:
			return !fragmented && (deflate || !rsv1)
		case 8, 9, 10:
			return fin && !rsv1 && length <= 125
		default:
			return false
		}
	}
	states := 0
	for _, client := range []bool{false, true} {
		for _, deflate := range []bool{false, true} {
			for _, fragmented := range []bool{false, true} {
				states++
				tr := &Conn{client: client}
				if deflate {
					tr.UseDeflate(DeflateTerms{WindowBits: 15}, DeflateTerms{WindowBits: 15})
				}
				tr.fragmented = fragmented
				for n := range 1 << 16 {
					b0, b1 := byte(n>>8), byte(n) //nolint:gosec // its two bytes
					violation := tr.checkHeader(wire.ParseHeader([]byte{b0, b1}))
					require.Equal(t, valid(b0, b1, client, deflate, fragmented), violation == "",
						"%08b %08b: %q; client %t, deflate %t, fragmented %t", b0, b1, violation, client, deflate, fragmented)
				}
			}
		}
	}
	assert.Equal(t, 8, states)
}

// A message is counted when the last byte of its last frame was consumed, and once.
func TestMessagesAreCountedAtTheirEnd(t *testing.T) {
	tr := &Conn{}
	tr.buffer = newReadBuffer(64)
	begin := func(opcode byte, fin bool, length int) {
		h := wire.Header{Opcode: opcode, Fin: fin, Length: uint64(length)} //nolint:gosec // it is not negative
		if !h.IsControl() {
			tr.finalFrame = fin
		}
		tr.beginFrame(h)
		tr.consume(0)
	}
	counted := func() uint64 { return tr.Counts().MessagesReceived }

	begin(wire.OpText, true, 3)
	tr.consume(2)
	assert.EqualValues(t, 0, counted(), "a byte is left")
	tr.consume(1)
	assert.EqualValues(t, 1, counted())
	tr.consume(0)
	assert.EqualValues(t, 1, counted(), "only once")

	begin(wire.OpText, false, 2)
	tr.consume(2)
	begin(wire.OpPing, true, 1)
	tr.consume(1)
	assert.EqualValues(t, 1, counted(), "a frame follows")
	begin(wire.OpContinuation, true, 0)
	assert.EqualValues(t, 2, counted(), "an empty frame ends it")
}
