// Package wire knows the bytes of RFC 6455: frame headers (5.2), masks (5.3), close payloads
// (5.5.1), and whether text that comes in pieces is UTF-8. It holds no connection and no lock.
package wire

import (
	"encoding/binary"

	ws "github.com/gorilla/websocket"
)

// Opcodes (RFC 6455, 5.2). Text to pong are gorilla's message types.
const (
	OpContinuation = 0x0
	OpText         = ws.TextMessage
	OpBinary       = ws.BinaryMessage
	OpClose        = ws.CloseMessage
	OpPing         = ws.PingMessage
	OpPong         = ws.PongMessage
)

// Bits of a frame's first two bytes.
const (
	BitFin  = 0x80
	BitRSV1 = 0x40
	bitsRSV = 0x70
	BitMask = 0x80
)

const (
	MaxControlPayload = 125 // bytes (RFC 6455, 5.5)
	MaxHeaderSize     = 14  // bytes: two, eight of length, four of mask
	MaxReason         = MaxControlPayload - 2
)

// Header is the head of one frame (RFC 6455, 5.2).
type Header struct {
	Fin    bool
	RSV    byte // RSV1 to RSV3 where they stand in the first byte
	Opcode byte
	Masked bool
	Key    [4]byte // where masked
	Length uint64  // bytes of payload
	Size   int     // bytes of the header itself
}

func (h Header) IsControl() bool { return h.Opcode&0x8 != 0 }

// HasExtendedLength reports whether the first two bytes leave the length to those that follow:
// it ought to be more than 125.
func (h Header) HasExtendedLength() bool { return h.Size != 2 && h.Size != 2+len(h.Key) }

// IsData reports whether an opcode, perhaps with bits of RSV, is one of a message.
func IsData(opcode byte) bool { return opcode&0x8 == 0 }

// headerSize tells from a frame's first two bytes how long its header is.
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

// ParseHeader reads the header that b starts with. Two bytes are enough for
// all but the length of a longer frame and the mask.
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

// AppendHeader appends the header of a whole, unmasked frame.
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
