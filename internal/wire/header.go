// Package wire parses and builds the bytes of RFC 6455: frame headers (5.2), masks (5.3) and
// close payloads (5.5.1). It also checks text that arrives in pieces. Nothing in it does I/O or
// holds a lock.
package wire

import (
	"encoding/binary"

	ws "github.com/gorilla/websocket"
)

// Opcodes (RFC 6455, 5.2). All but OpContinuation are gorilla's message types as well.
const (
	OpContinuation = 0x0
	OpText         = ws.TextMessage
	OpBinary       = ws.BinaryMessage
	OpClose        = ws.CloseMessage
	OpPing         = ws.PingMessage
	OpPong         = ws.PongMessage
)

// Bits of the first two bytes of a frame.
const (
	BitFin  = 0x80
	BitRSV1 = 0x40
	bitsRSV = 0x70
	BitMask = 0x80
)

// Sizes in bytes.
const (
	MaxControlPayload = 125                   // of a control frame (RFC 6455, 5.5)
	MaxHeaderSize     = 14                    // two, eight for the length, four for the mask key
	MaxReason         = MaxControlPayload - 2 // of a close frame, behind the code
)

// A Header is the header of one frame (RFC 6455, 5.2).
type Header struct {
	Fin    bool
	RSV    byte // RSV1 to RSV3, at their places in the first byte
	Opcode byte
	Masked bool
	Key    [4]byte // zero if the frame is not masked
	Length uint64  // of the payload, in bytes
	Size   int     // of the header, in bytes
}

// IsControl reports whether the frame is a control frame.
func (h Header) IsControl() bool { return h.Opcode&0x8 != 0 }

// HasExtendedLength reports whether the length follows the first two bytes. A control frame
// must not have such a length.
func (h Header) HasExtendedLength() bool { return h.Size != 2 && h.Size != 2+len(h.Key) }

// IsData reports whether an opcode is that of a data frame. RSV bits may be set in it.
func IsData(opcode byte) bool { return opcode&0x8 == 0 }

// headerSize returns the size of a header, which its first two bytes determine.
func headerSize(b []byte) int {
	size := 2
	switch b[1] &^ BitMask {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if b[1]&BitMask != 0 {
		size += 4
	}
	return size
}

// HasHeader reports whether b begins with a whole header.
func HasHeader(b []byte) bool { return len(b) >= 2 && len(b) >= headerSize(b) }

// IsClose reports whether the frame that p begins with is a close frame. p must not be empty.
func IsClose(p []byte) bool { return p[0]&0xf == OpClose }

// ParseHeader parses the header that b begins with. b must have at least two bytes. Where
// it does not have the whole header, an extended length and the mask key are not parsed.
func ParseHeader(b []byte) Header {
	h := Header{
		Fin:    b[0]&BitFin != 0,
		RSV:    b[0] & bitsRSV,
		Opcode: b[0] & 0xf,
		Masked: b[1]&BitMask != 0,
		Length: uint64(b[1] &^ BitMask),
		Size:   headerSize(b),
	}
	if len(b) < h.Size {
		return h
	}
	switch h.Length {
	case 126:
		h.Length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.Length = binary.BigEndian.Uint64(b[2:])
	}
	if h.Masked {
		h.Key = [4]byte(b[h.Size-4 : h.Size])
	}
	return h
}

// AppendHeader appends the header of an unmasked frame that is a whole message.
func AppendHeader(b []byte, opcode byte, length int) []byte {
	b = append(b, BitFin|opcode)
	switch {
	case length <= MaxControlPayload:
		return append(b, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
	}
}
