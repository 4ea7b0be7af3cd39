package conformance_test

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"unicode/utf8"
)

// This suite encodes and decodes frames itself, without wstest, and inflates with the standard
// library: otherwise a mistake of the library could hide behind the same mistake in its tests.

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// RSV1 to RSV3.
const (
	rsv1 = 4
	rsv2 = 2
	rsv3 = 1
)

const noCode = 1005 // stands for a close frame without a code

// A sent value is something that the client sends.
type sent interface{ wire() []byte }

// A frame is a frame that the client sends, or a message or control frame of the server.
type frame struct {
	opcode   byte
	payload  string
	open     bool   // FIN is not set
	rsv      byte   // RSV1 to RSV3
	unmasked bool   // which RFC 6455, 5.1, forbids
	form     byte   // of the length: 126 or 127, or 0 for the shortest
	length   uint64 // that the header announces, if the payload is shorter
}

func (f frame) wire() []byte {
	length := max(f.length, uint64(len(f.payload)))
	first := f.rsv<<4 | f.opcode
	if !f.open {
		first |= 0x80
	}
	form := f.form
	switch {
	case form != 0:
	case length > math.MaxUint16:
		form = 127
	case length > 125:
		form = 126
	default:
		form = byte(length)
	}
	b := []byte{first, form}
	switch form {
	case 126:
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	case 127:
		b = binary.BigEndian.AppendUint64(b, length)
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	b[1] |= 0x80
	var key [4]byte
	binary.BigEndian.PutUint32(key[:], rand.Uint32())
	b = append(b, key[:]...)
	header := len(b)
	b = append(b, f.payload...)
	pad := bytes.Repeat(key[:], len(f.payload)/4+1)
	subtle.XORBytes(b[header:], b[header:], pad) // as many bytes as the shorter one has
	return b
}

// raw are bytes that are sent as they are.
type raw string

func (r raw) wire() []byte { return []byte(r) }

// all are several things that are sent one after another.
type all []sent

func (a all) wire() (b []byte) {
	for _, s := range a {
		b = append(b, s.wire()...)
	}
	return b
}

func text(s string) frame     { return frame{opcode: opText, payload: s} }
func bin(s string) frame      { return frame{opcode: opBinary, payload: s} }
func ping(s string) frame     { return frame{opcode: opPing, payload: s} }
func pong(s string) frame     { return frame{opcode: opPong, payload: s} }
func openText(s string) frame { return frame{opcode: opText, payload: s, open: true} }
func openBin(s string) frame  { return frame{opcode: opBinary, payload: s, open: true} }
func more(s string) frame     { return frame{opcode: opContinuation, payload: s, open: true} }
func last(s string) frame     { return frame{opcode: opContinuation, payload: s} }

// closing returns a close frame with a code and a reason; with noCode, an empty one.
func closing(code int, reason string) frame {
	if code == noCode {
		return frame{opcode: opClose}
	}
	return frame{opcode: opClose, payload: string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason}
}

// code returns the code of a close frame, noCode if it is empty.
func (f frame) code() int {
	if f.payload == "" {
		return noCode
	}
	return int(binary.BigEndian.Uint16([]byte(f.payload)))
}

func (f frame) with(change func(*frame)) frame {
	change(&f)
	return f
}

func (f frame) bits(rsv byte) frame       { return f.with(func(f *frame) { f.rsv |= rsv }) }
func (f frame) notLast() frame            { return f.with(func(f *frame) { f.open = true }) }
func (f frame) bare() frame               { return f.with(func(f *frame) { f.unmasked = true }) }
func (f frame) long(form byte) frame      { return f.with(func(f *frame) { f.form = form }) }
func (f frame) announcing(n uint64) frame { return f.with(func(f *frame) { f.length = n }) }

// cut returns the frame without its last n bytes.
func (f frame) cut(n int) raw {
	b := f.wire()
	return raw(b[:len(b)-n])
}

// fragments returns a message in fragments of size bytes, with other frames between each two.
func fragments(f frame, size int, between ...sent) (a all) {
	for part := f; ; part.opcode, part.rsv = opContinuation, 0 {
		part.payload = f.payload[:min(size, len(f.payload))]
		f.payload = f.payload[len(part.payload):]
		part.open = f.payload != ""
		a = append(a, part)
		if !part.open {
			return a
		}
		a = append(a, between...)
	}
}

// times returns s repeated n times.
func times(n int, s ...sent) (a all) {
	for range n {
		a = append(a, s...)
	}
	return a
}

// String describes the frame for failures of tests.
func (f frame) String() string {
	const most = 40
	if len(f.payload) <= most {
		return fmt.Sprintf("%s %q", f.kind(), f.payload)
	}
	return fmt.Sprintf("%s %q... (%d bytes)", f.kind(), f.payload[:most], len(f.payload))
}

func (f frame) kind() string {
	return map[byte]string{opText: "text", opBinary: "binary", opClose: "close", opPing: "ping", opPong: "pong"}[f.opcode]
}

// A violation is something that a server must not send.
type violation string

func (v violation) Error() string { return "the server sends " + string(v) }

// A receiver reads the messages of a server and checks every rule of the protocol.
type receiver struct {
	r       io.Reader
	deflate bool   // was negotiated: every message must be compressed
	window  int    // how many bytes of earlier messages a message may refer to
	past    string // these bytes

	message frame // the first frame of the message that is incomplete, without its payload
	payload []byte
	begun   bool
	closed  bool
}

// next returns the next message or control frame.
func (r *receiver) next() (frame, error) {
	for {
		f, err := r.frame()
		switch {
		case err != nil:
			return f, err
		case r.closed:
			return f, violation("something after its close frame")
		case f.opcode >= opClose:
			r.closed = f.opcode == opClose
			return f, checkControl(f)
		case r.begun != (f.opcode == opContinuation):
			return f, violation("fragments out of order")
		}
		if !r.begun {
			r.message, r.payload, r.begun = frame{opcode: f.opcode, rsv: f.rsv}, nil, true
		} else if f.rsv != 0 {
			return f, violation("RSV1 on a continuation")
		}
		r.payload = append(r.payload, f.payload...)
		if !f.open {
			r.begun = false
			return r.whole()
		}
	}
}

// whole returns the complete message.
func (r *receiver) whole() (frame, error) {
	f := r.message
	f.payload = string(r.payload)
	switch {
	case (f.rsv == rsv1) != r.deflate:
		return f, violation(fmt.Sprintf("a message whose RSV1 is %v", f.rsv == rsv1))
	case r.deflate:
		message, err := inflate(f.payload, r.past)
		if err != nil {
			return f, fmt.Errorf("the server's message can't be inflated with %d bytes of earlier ones: %w", len(r.past), err)
		}
		f.rsv, f.payload = 0, message
		r.past = lastBytes(r.past+message, r.window)
	}
	if f.opcode == opText && !utf8.ValidString(f.payload) {
		return f, violation("text that is not UTF-8")
	}
	return f, nil
}

func checkControl(f frame) error {
	switch {
	case f.rsv != 0:
		return violation("RSV1 on a control frame")
	case f.open:
		return violation("a fragmented control frame")
	case len(f.payload) > 125:
		return violation("a long control frame")
	case f.opcode > opPong:
		return violation("a reserved opcode")
	case f.opcode == opClose && len(f.payload) == 1:
		return violation("a close frame with one byte")
	case f.opcode == opClose && f.payload != "" && !maySend(f.code()):
		return violation(fmt.Sprintf("close code %d", f.code()))
	case f.opcode == opClose && len(f.payload) > 2 && !utf8.ValidString(f.payload[2:]):
		return violation("a close reason that is not UTF-8")
	default:
		return nil
	}
}

// maySend reports whether an endpoint may send a close code (RFC 6455, 7.4, and the codes that
// IANA has registered since).
func maySend(code int) bool {
	switch code {
	case 1004, 1005, 1006:
		return false
	default:
		return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
	}
}

// frame reads one frame.
func (r *receiver) frame() (frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(r.r, head[:2]); err != nil {
		return frame{}, err
	}
	f := frame{opcode: head[0] & 0xf, open: head[0]&0x80 == 0, rsv: head[0] >> 4 & 7}
	length, least := uint64(head[1]&0x7f), uint64(0)
	switch length {
	case 126:
		if _, err := io.ReadFull(r.r, head[:2]); err != nil {
			return f, err
		}
		length, least = uint64(binary.BigEndian.Uint16(head[:])), 126
	case 127:
		if _, err := io.ReadFull(r.r, head[:]); err != nil {
			return f, err
		}
		length, least = binary.BigEndian.Uint64(head[:]), math.MaxUint16+1
	}
	switch {
	case f.rsv&^rsv1 != 0:
		return f, violation("RSV2 or RSV3")
	case f.opcode > opBinary && f.opcode < opClose:
		return f, violation("a reserved opcode")
	case head[1]&0x80 != 0 && least == 0:
		return f, violation("a masked frame")
	case length < least || length > 64<<20:
		return f, violation(fmt.Sprintf("a length of %d, in %d bits", length, map[uint64]int{0: 7, 126: 16}[least]))
	}
	payload := make([]byte, length)
	_, err := io.ReadFull(r.r, payload)
	f.payload = string(payload)
	return f, err
}
