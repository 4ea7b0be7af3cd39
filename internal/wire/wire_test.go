package wire

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slowlyMasked is what RFC 6455, 5.3 says, byte by byte.
func slowlyMasked(payload []byte, key [4]byte) []byte {
	masked := bytes.Clone(payload)
	for i := range masked {
		masked[i] ^= key[i%4]
	}
	return masked
}

// checkMask masks what lies between two margins, in two steps.
func checkMask(t *testing.T, payload []byte, key [4]byte, margin, cut int) {
	t.Helper()
	const guard = "guard of sixteen"
	memory := slices.Concat([]byte(guard[:margin]), payload, []byte(guard))
	inner := memory[margin : margin+len(payload)]
	Mask(inner[:cut], key)
	Mask(inner[cut:], RotateKey(key, cut))
	if want := slowlyMasked(payload, key); !bytes.Equal(want, inner) { // assert.Equal is slow
		require.Equal(t, want, inner, "%d bytes at %d, cut at %d", len(payload), margin, cut)
	}
	require.Equal(t, guard[:margin]+guard, string(memory[:margin])+string(memory[margin+len(payload):]), "what lies beside")
}

func TestMask(t *testing.T) {
	random := bytes.Repeat([]byte("\x00\xff0aZ\x80\x7f"), 200)
	for length := range 4*wordMaskLimit + 10 {
		for margin := range 8 {
			checkMask(t, random[:length], [4]byte{0x37, 0xfa, 0x21, 0x3d}, margin, length*margin/8)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x37fa213d), uint8(0), uint16(0)) // RFC 6455, 5.7
	f.Add(bytes.Repeat([]byte{0}, wordMaskLimit), uint32(1), uint8(1), uint16(3))
	f.Add(bytes.Repeat([]byte{0xff}, wordMaskLimit+9), uint32(1<<31), uint8(7), uint16(wordMaskLimit+1))
	f.Fuzz(func(t *testing.T, payload []byte, key uint32, margin uint8, cut uint16) {
		k := [4]byte(binary.BigEndian.AppendUint32(nil, key))
		checkMask(t, payload, k, int(margin%16), int(cut)%(len(payload)+1))

		frame := MaskedFrame(OpBinary, payload)
		h := ParseHeader(frame)
		require.True(t, h.Masked)
		require.Len(t, frame, h.Size+len(payload))
		require.True(t, bytes.Equal(payload, slowlyMasked(frame[h.Size:], h.Key)), "%x", frame)
	})
}

// statedHeader is a frame's head as the picture in RFC 6455, 5.2 has it: bit by
// bit. It is nil as long as bits are missing.
func statedHeader(p []byte) *Header {
	bits := new(big.Int).SetBytes(p)
	left := 8 * len(p)
	take := func(n int) uint64 {
		if left -= n; left < 0 {
			return 0
		}
		v := new(big.Int).Rsh(bits, uint(left))
		v.Mod(v, new(big.Int).Lsh(big.NewInt(1), uint(n)))
		return v.Uint64()
	}
	h := Header{Fin: take(1) == 1, RSV: byte(take(3)) << 4, Opcode: byte(take(4)), Masked: take(1) == 1, Length: take(7)}
	switch h.Length {
	case 126:
		h.Length = take(16)
	case 127:
		h.Length = take(64)
	}
	if h.Masked {
		binary.BigEndian.PutUint32(h.Key[:], uint32(take(32)))
	}
	h.Size = len(p) - left/8
	if left < 0 {
		return nil
	}
	return &h
}

func FuzzFrameHeader(f *testing.F) {
	for _, head := range []string{
		"\x81\x05", "\x01\x03", "\x89\x85\x37\xfa\x21\x3d", "\x82\x7e\x01\x00", "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
		"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01\x02\x03", "\xff\x00", "\x82\xfe\x01", "\x88",
	} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		p = p[:min(len(p), MaxHeaderSize+2)]
		want := statedHeader(p)
		require.Equal(t, want != nil, HasHeader(p))
		if want == nil {
			return
		}
		assert.Equal(t, *want, ParseHeader(p))
		assert.Equal(t, want.Opcode == OpClose, IsClose(p))
		assert.Equal(t, want.Size, headerSize(p))
		if want.Length <= 1<<31-1 {
			got := AppendHeader(nil, want.Opcode, int(want.Length))
			assert.Equal(t, Header{Fin: true, Opcode: want.Opcode, Length: want.Length, Size: len(got)}, *statedHeader(got))
			assert.LessOrEqual(t, len(got), want.Size, "the shortest form")
		}
	})
}

// sendable are the codes of RFC 6455, 7.4 and of the IANA registry that a close
// frame may carry, by ranges.
var sendable = [][2]int{
	{1000, 1003}, // 7.4.1: normal, going away, protocol error, unacceptable data
	{1007, 1011}, // 7.4.1: inconsistent data, policy, too big, extension, unexpected condition
	{1012, 1014}, // registered later: service restart, try again later, bad gateway
	{3000, 3999}, // 7.4.2: for libraries and frameworks, registered
	{4000, 4999}, // 7.4.2: for private use
}

func isSendable(code int) bool {
	return slices.ContainsFunc(sendable, func(r [2]int) bool { return r[0] <= code && code <= r[1] })
}

// isText reports whether every character of p is one, which decoding shows.
func isText(p string) bool {
	for i, r := range p {
		if r == utf8.RuneError && !strings.HasPrefix(p[i:], "\ufffd") {
			return false
		}
	}
	return true
}

// shortened is the longest beginning of a text, of whole characters, that fits into
// a close frame. Bytes that are none become the replacement character, those in a
// row one.
func shortened(text string) (reason string) {
	replaced := false
	for i, r := range text {
		invalid := r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd")
		if invalid && replaced {
			continue
		}
		replaced = invalid
		if len(reason)+utf8.RuneLen(r) > 123 {
			return reason
		}
		reason += string(r)
	}
	return reason
}

// FuzzClosePayload is about what a close frame may carry (RFC 6455, 5.5.1, 7.4 and
// 8.1), as it is read and as it is written.
func FuzzClosePayload(f *testing.F) {
	for _, payload := range []string{
		"", "\x03", "\x03\xe8", "\x03\xe8bye", "\x03\xec", "\x03\xed", "\x03\xee", "\x03\xf6bad gateway", "\x03\xf7", "\x03\xf8",
		"\x0b\xb7", "\x0b\xb8", "\x13\x87", "\x13\x88", "\xff\xff", "\x00\x00", "\x03\xe8\xff", "\x03\xe8\xc3", "\x03\xe8\ufffd",
		"\x03\xe8" + strings.Repeat("x", 124), "\x03\xe8" + strings.Repeat("é", 62), "\x03\xe8" + strings.Repeat("\xff", 200),
		"\x03\xe8x" + strings.Repeat("😀", 40), "\x03\xe8\xff\ufffd\xff\xffx",
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ce, breach := ParseClose(payload)
		if len(payload) < 2 {
			assert.Equal(t, len(payload) == 0, breach == nil, "half a code")
			if breach == nil {
				assert.Equal(t, &ws.CloseError{Code: 1005}, ce)
				assert.Empty(t, AppendClose(nil, ce))
				assert.Same(t, ce, CloseAnswer(ce))
			}
			return
		}
		code, text := int(payload[0])*256+int(payload[1]), string(payload[2:])
		switch {
		case !isSendable(code):
			require.NotNil(t, breach)
			assert.Equal(t, 1002, breach.Code)
		case !isText(text):
			require.NotNil(t, breach)
			assert.Equal(t, 1007, breach.Code)
		default:
			require.Nil(t, breach)
			assert.Equal(t, &ws.CloseError{Code: code, Text: text}, ce)
			assert.Equal(t, payload, AppendClose(nil, ce))
			assert.Equal(t, &ws.CloseError{Code: code}, CloseAnswer(ce))
		}
		if breach != nil {
			answer, another := ParseClose(ws.FormatCloseMessage(breach.CloseFrame().Code, breach.CloseFrame().Text))
			require.Nil(t, another, "the answer is one that may be sent")
			assert.Equal(t, breach.Code, answer.Code)
		}

		assert.Equal(t, shortened(text), TruncateReason(text))
		if isSendable(code) {
			written := ws.FormatCloseMessage(code, TruncateReason(text))
			assert.LessOrEqual(t, len(written), 125)
			_, breach = ParseClose(written)
			assert.Nil(t, breach, "what Close writes may be read")
		}
	})
}
