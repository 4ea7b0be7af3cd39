package wstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Opcodes (RFC 6455, 5.2).
const (
	OpContinuation byte = 0x0
	OpText         byte = 0x1
	OpBinary       byte = 0x2
	OpClose        byte = 0x8
	OpPing         byte = 0x9
	OpPong         byte = 0xa
)

// ErrFrameTooLarge is returned by [ReadFrame] for a payload over 64 MiB.
var ErrFrameTooLarge = errors.New("wstest: frame payload is over 64 MiB")

const (
	maxPayload = 64 << 20 // bytes, the limit of ReadFrame
	maxShown   = 64       // bytes of a payload that String shows

	noStatus = 1005 // RFC 6455, 7.4.1: the code of a close frame without a code
)

// maskKey masks every frame. It is the key of the examples in RFC 6455, 5.7.
var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Frame is one frame on the wire (RFC 6455, 5.2). It is not validated, so that tests can build
// invalid frames. The zero value is an empty, unmasked continuation frame that is not final.
type Frame struct {
	// Fin is set on the last frame of a message and on control frames.
	Fin bool
	// RSV contains RSV1, RSV2 and RSV3 as the bits 4, 2 and 1; other bits are ignored.
	RSV byte
	// Opcode is one of the Op constants or a reserved opcode, at most 0xf; higher bits are
	// ignored.
	Opcode byte
	// Masked is set on every frame of a client and on no frame of a server. The key is always
	// 37 fa 21 3d, as in the examples of the RFC.
	Masked bool
	// Payload is the unmasked payload, of any length. All functions of this package use nil for
	// an empty payload, so that frames can be compared.
	Payload []byte
}

// Text returns a complete text message of a client. s need not be UTF-8.
func Text(s string) Frame { return fromClient(OpText, s) }

// Binary returns a complete binary message of a client, with a copy of p.
func Binary(p []byte) Frame { return fromClient(OpBinary, string(p)) }

// Ping returns a ping of a client. With more than 125 bytes it is invalid.
func Ping(s string) Frame { return fromClient(OpPing, s) }

// Pong returns a pong of a client. With more than 125 bytes it is invalid.
func Pong(s string) Frame { return fromClient(OpPong, s) }

// Close returns a close frame of a client. The code may be any 16-bit number; 0 and 1005 mean an
// empty payload, without a code and a reason. With a reason of more than 123 bytes the frame is
// invalid.
func Close(code int, reason string) Frame {
	if code == 0 || code == noStatus {
		return fromClient(OpClose, "")
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	return fromClient(OpClose, string(payload)+reason)
}

func fromClient(opcode byte, payload string) Frame {
	f := Frame{Fin: true, Opcode: opcode, Masked: true}
	if payload != "" {
		f.Payload = []byte(payload)
	}
	return f
}

// Unmasked returns the frame as a frame of a server. It shares the payload.
func (f Frame) Unmasked() Frame {
	f.Masked = false
	return f
}

// Bytes returns the encoded frame.
func (f Frame) Bytes() []byte { return f.AppendTo(nil) }

// AppendTo appends the encoded frame to b and returns the result. It does not change the payload.
func (f Frame) AppendTo(b []byte) []byte {
	b = f.AppendHeader(b, uint64(len(f.Payload)))
	start := len(b)
	b = append(b, f.Payload...)
	if f.Masked {
		mask(b[start:], maskKey)
	}
	return b
}

// AppendHeader appends the header of the frame, in its shortest form, to b and returns the result.
// It declares the given length instead of the payload's, so that a test can declare a payload that
// it does not send, or an invalid length with the top bit set.
func (f Frame) AppendHeader(b []byte, length uint64) []byte {
	first := f.RSV&0x7<<4 | f.Opcode&0xf
	if f.Fin {
		first |= 0x80
	}
	var masked byte
	if f.Masked {
		masked = 0x80
	}
	switch {
	case length <= 125:
		b = append(b, first, masked|byte(length))
	case length <= math.MaxUint16:
		b = append(b, first, masked|126)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	default:
		b = append(b, first, masked|127)
		b = binary.BigEndian.AppendUint64(b, length)
	}
	if f.Masked {
		b = append(b, maskKey[:]...)
	}
	return b
}

// ReadFrame reads exactly one frame and unmasks it with any key. It does not validate the frame,
// but limits its length: with an error that wraps [ErrFrameTooLarge], it leaves the payload unread.
// The error is [io.EOF] if r ends before the frame, [io.ErrUnexpectedEOF] if r ends within the
// frame, or another error of r.
func ReadFrame(r io.Reader) (Frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{
		Fin:    head[0]&0x80 != 0,
		RSV:    head[0] >> 4 & 0x7,
		Opcode: head[0] & 0xf,
		Masked: head[1]&0x80 != 0,
	}

	length := uint64(head[1] & 0x7f)
	switch length {
	case 126:
		var extended [2]byte
		if err := readWithin(r, extended[:]); err != nil {
			return Frame{}, err
		}
		length = uint64(binary.BigEndian.Uint16(extended[:]))
	case 127:
		var extended [8]byte
		if err := readWithin(r, extended[:]); err != nil {
			return Frame{}, err
		}
		length = binary.BigEndian.Uint64(extended[:])
	}

	var key [4]byte
	if f.Masked {
		if err := readWithin(r, key[:]); err != nil {
			return Frame{}, err
		}
	}

	if length > maxPayload {
		return Frame{}, fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, length)
	}
	if length > 0 {
		f.Payload = make([]byte, length)
		if err := readWithin(r, f.Payload); err != nil {
			return Frame{}, err
		}
		mask(f.Payload, key)
	}
	return f, nil
}

// readWithin fills b from the middle of a frame, where io.EOF is unexpected.
func readWithin(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// mask masks or unmasks p in place. A zero key changes nothing.
func mask(p []byte, key [4]byte) {
	for i := range p {
		p[i] ^= key[i%len(key)]
	}
}

// CloseCode returns the code of a close frame, or 1005 if its payload is empty. It returns -1 for a
// close frame with one byte of payload, which is invalid, and for other frames.
func (f Frame) CloseCode() int {
	switch {
	case f.Opcode != OpClose, len(f.Payload) == 1:
		return -1
	case len(f.Payload) == 0:
		return noStatus
	}
	return int(binary.BigEndian.Uint16(f.Payload))
}

// CloseReason returns the reason of a close frame, which need not be UTF-8. It returns "" for other
// frames.
func (f Frame) CloseReason() string {
	if f.Opcode != OpClose || len(f.Payload) <= 2 {
		return ""
	}
	return string(f.Payload[2:])
}

// String describes the frame for a test's log, for example: text fin "hello", or close 1000 "bye".
// It truncates long payloads. For control frames, which must have Fin, it shows only a missing Fin.
// It does not show Masked.
func (f Frame) String() string {
	var b strings.Builder
	b.WriteString(opcodeName(f.Opcode))
	control := f.Opcode&0x8 != 0
	switch {
	case f.Fin && !control:
		b.WriteString(" fin")
	case !f.Fin && control:
		b.WriteString(" nofin")
	}
	if f.RSV != 0 {
		fmt.Fprintf(&b, " rsv %03b", f.RSV)
	}
	payload := f.Payload
	if code := f.CloseCode(); code >= 0 {
		fmt.Fprintf(&b, " %d", code)
		payload = payload[min(2, len(payload)):]
	}
	fmt.Fprintf(&b, " %q", payload[:min(maxShown, len(payload))])
	if len(payload) > maxShown {
		fmt.Fprintf(&b, "... (%d bytes)", len(payload))
	}
	return b.String()
}

func opcodeName(opcode byte) string {
	switch opcode {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return fmt.Sprintf("opcode 0x%x", opcode)
}
