package websocket

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Opcodes (RFC 6455, 5.2). Text to pong are gorilla's message types.
const (
	opContinuation = 0x0
	opText         = TextMessage
	opBinary       = BinaryMessage
	opClose        = CloseMessage
	opPing         = PingMessage
	opPong         = PongMessage
)

// Bits of a frame's first two bytes.
const (
	bitFin  = 0x80
	bitRSV1 = 0x40
	bitsRSV = 0x70
	bitMask = 0x80
)

const (
	maxControlPayload = 125 // bytes (RFC 6455, 5.5)
	maxHeaderSize     = 14  // bytes: two, eight of length, four of mask
	maxReason         = maxControlPayload - 2
)

// frameHeader is the head of one frame (RFC 6455, 5.2).
type frameHeader struct {
	fin    bool
	rsv    byte // RSV1 to RSV3 where they stand in the first byte
	opcode byte
	masked bool
	key    [4]byte // where masked
	length uint64  // bytes of payload
	size   int     // bytes of the header itself
}

func (h frameHeader) control() bool { return h.opcode&0x8 != 0 }

// extended reports whether the first two bytes leave the length to those that follow:
// it ought to be more than 125.
func (h frameHeader) extended() bool { return h.size != 2 && h.size != 2+len(h.key) }

// isData reports whether an opcode, perhaps with bits of RSV, is one of a message.
func isData(opcode byte) bool { return opcode&0x8 == 0 }

// headerSize tells from a frame's first two bytes how long its header is.
func headerSize(b []byte) int {
	size := 2
	switch b[1] &^ bitMask {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if b[1]&bitMask != 0 {
		size += 4
	}
	return size
}

// hasHeader reports whether b begins with a whole header.
func hasHeader(b []byte) bool { return len(b) >= 2 && len(b) >= headerSize(b) }

// parseHeader reads the header that b starts with. Two bytes are enough for
// all but the length of a longer frame and the mask.
func parseHeader(b []byte) frameHeader {
	h := frameHeader{
		fin:    b[0]&bitFin != 0,
		rsv:    b[0] & bitsRSV,
		opcode: b[0] & 0xf,
		masked: b[1]&bitMask != 0,
		length: uint64(b[1] &^ bitMask),
		size:   headerSize(b),
	}
	if len(b) < h.size {
		return h
	}
	switch h.length {
	case 126:
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.length = binary.BigEndian.Uint64(b[2:])
	}
	if h.masked {
		h.key = [4]byte(b[h.size-4 : h.size])
	}
	return h
}

// appendHeader appends the header of a whole, unmasked frame.
func appendHeader(b []byte, opcode byte, length int) []byte {
	b = append(b, bitFin|opcode)
	switch {
	case length <= maxControlPayload:
		return append(b, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
	}
}

// maskedFrame returns a whole frame as a client sends it. The payload is left as
// it is.
func maskedFrame(opcode byte, payload []byte) []byte {
	frame := make([]byte, 0, maxHeaderSize+len(payload))
	frame = appendHeader(frame, opcode, len(payload))
	frame[1] |= bitMask
	key := newMaskKey()
	frame = append(frame, key[:]...)
	size := len(frame)
	frame = append(frame, payload...)
	mask(frame[size:], key)
	return frame
}

// remasked returns whole frames of gorilla's with new masks: gorilla takes its
// own from math/rand, and prepares a message with one for all its writes.
func remasked(p []byte) []byte {
	frames := bytes.Clone(p)
	for rest := frames; hasHeader(rest); {
		h := parseHeader(rest)
		payload := rest[h.size:]
		payload = payload[:min(uint64(len(payload)), h.length)]
		if h.masked {
			mask(payload, h.key)
			key := newMaskKey()
			copy(rest[h.size-len(key):], key[:])
			mask(payload, key)
		}
		rest = rest[h.size+len(payload):]
	}
	return frames
}

// newMaskKey returns a key that nobody can foretell (RFC 6455, 5.3).
func newMaskKey() (key [4]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

// mask masks a payload in place, or unmasks it; the zero key leaves it as it is.
func mask(payload []byte, key [4]byte) {
	if len(payload) > maskedByWords {
		maskLong(payload, key)
		return
	}
	word := uint64(binary.LittleEndian.Uint32(key[:])) * (1<<32 + 1)
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^word)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= key[i%4]
	}
}

// maskedByWords is up to how many bytes are masked word by word: beyond it, making a
// wide pad pays.
const maskedByWords = 256

func maskLong(payload []byte, key [4]byte) {
	var pad [256]byte
	for n := copy(pad[:], key[:]); n < len(pad); {
		n += copy(pad[n:], pad[:n])
	}
	for len(payload) > 0 {
		payload = payload[subtle.XORBytes(payload, payload, pad[:min(len(pad), len(payload))]):]
	}
}

// rotated is the key for what comes n bytes later.
func rotated(key [4]byte, n int) [4]byte {
	return [4]byte{key[n%4], key[(n+1)%4], key[(n+2)%4], key[(n+3)%4]}
}

// parseClosePayload reads what a close frame carries (RFC 6455, 5.5.1). An
// empty one is code 1005. The error says what is wrong with it and with which
// code the peer is told.
func parseClosePayload(p []byte) (*CloseError, *protocolError) {
	switch {
	case len(p) == 0:
		return &CloseError{Code: CloseNoStatusReceived}, nil
	case len(p) == 1:
		return nil, &protocolError{code: CloseProtocolError, reason: "close payload of one byte"}
	}
	code, reason := int(binary.BigEndian.Uint16(p)), p[2:]
	if !mayBeSent(code) {
		return nil, &protocolError{code: CloseProtocolError, reason: fmt.Sprintf("close code %d", code)}
	}
	if !utf8.Valid(reason) {
		return nil, &protocolError{code: CloseInvalidFramePayloadData, reason: "close reason is not UTF-8"}
	}
	return &CloseError{Code: code, Text: string(reason)}, nil
}

// mayBeSent reports whether a close frame may carry the code: those that RFC
// 6455, 7.4 and the IANA registry give to endpoints.
func mayBeSent(code int) bool {
	return code >= CloseNormalClosure && code <= CloseUnsupportedData ||
		code >= CloseInvalidFramePayloadData && code <= CloseBadGateway ||
		code >= 3000 && code <= 4999
}

// A protocolError is a breach of the protocol by the peer, found by us.
type protocolError struct {
	code   int    // of the close frame that answers it
	reason string // of that frame, too
	cause  error  // ErrReadLimit, or nil
}

func (e *protocolError) Error() string {
	if errors.Is(e.cause, ErrReadLimit) {
		return e.cause.Error() + ": " + e.reason
	}
	return "websocket: protocol error: " + e.reason
}

func (e *protocolError) Unwrap() error { return e.cause }

// invalidClose is the error of a close message of ours that may not be sent.
func invalidClose(breach *protocolError) error {
	return fmt.Errorf("websocket: invalid close message: %s", breach.reason)
}

// frame is what the peer is told.
func (e *protocolError) frame() *CloseError {
	return &CloseError{Code: e.code, Text: cutReason(e.reason)}
}
