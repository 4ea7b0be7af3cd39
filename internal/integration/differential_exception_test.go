package integration_test

import (
	"bytes"
	"cmp"
	"compress/flate"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
)

// An exception is a reason for which readers may differ. The bytes after it are not
// compared.
type exception struct {
	ours    bool // our own readers may differ, too
	because string
}

// A scan is the state of exception within the frames of a script.
type scan struct {
	deflate              bool // agreed on
	open, deflated, text bool // the message
	payload              []byte
}

// exception returns the first reason for which gorilla differs from this library on
// purpose. The zero value means that there is none.
func (s *script) exception() exception {
	m := scan{deflate: s.deflate}
	for r := bytes.NewReader(s.stream); ; {
		at := s.stream[len(s.stream)-r.Len():]
		if len(at) < 2 || m.breach(at) {
			return m.ended()
		}
		if e := m.header(at); e != (exception{}) {
			return e
		}
		f, err := wstest.ReadFrame(r)
		control := at[0]&0x8 != 0
		switch {
		case err != nil:
			return m.unfinished(at)
		case f.Opcode == wstest.OpClose:
			return cmp.Or(closeException(f), m.ended())
		case control:
			continue
		}
		if f.Opcode != wstest.OpContinuation {
			m.deflated, m.text, m.payload = f.RSV != 0, f.Opcode == wstest.OpText, nil
		}
		m.open = !f.Fin
		m.payload = append(m.payload, f.Payload...)
		e := m.plain()
		if m.deflated {
			e = m.compressed()
		}
		if e != (exception{}) || len(m.payload) > differentialLimit {
			return e
		}
	}
}

// breach reports whether all readers refuse a frame for its first two bytes.
func (m *scan) breach(at []byte) bool {
	opcode, rsv1, length := at[0]&0xf, at[0]&0x40 != 0, at[1]&0x7f
	if at[1]&0x80 == 0 || at[0]&0x30 != 0 || rsv1 && !m.deflate {
		return true
	}
	if opcode >= wstest.OpClose {
		return opcode > wstest.OpPong || length > 125 || at[0]&0x80 == 0
	}
	return opcode > wstest.OpBinary || m.open != (opcode == wstest.OpContinuation)
}

func (m *scan) header(at []byte) exception {
	opcode := at[0] & 0xf
	switch {
	case at[0]&0x40 != 0 && (opcode >= wstest.OpClose || opcode == wstest.OpContinuation):
		return exception{because: "gorilla takes RSV1 on control and continuation frames (RFC 7692, 6.1)"}
	case at[1]&0x7f == 127 && len(at) >= 10 && at[2]&0x80 != 0:
		return exception{because: "gorilla sends no close frame for a length with the top bit set"}
	default:
		return exception{}
	}
}

// ended handles a message whose end never comes.
func (m *scan) ended() exception {
	if m.open && m.deflated {
		return exception{because: "gorilla sends no close frame for what was bad in it, we do"}
	}
	return exception{}
}

// unfinished handles a frame that is truncated by the end of the script.
func (m *scan) unfinished(at []byte) exception {
	opcode := at[0] & 0xf
	switch {
	case opcode >= wstest.OpClose:
		return exception{}
	case m.deflated && m.open:
		return m.ended()
	case at[0]&0x40 != 0:
		return exception{ours: true, because: "a compressed frame that is cut may be found bad before its end, or not"}
	case opcode == wstest.OpText, m.open && m.text:
		return exception{because: "we check the part of a text that has come"}
	default:
		return exception{}
	}
}

func closeException(f wstest.Frame) exception {
	switch {
	case len(f.Payload) == 1:
		return exception{because: "gorilla takes a close payload of one byte for none (RFC 6455, 5.5.1)"}
	case f.CloseCode() == websocket.CloseBadGateway:
		return exception{because: "gorilla does not know code 1014, which IANA has registered"}
	case !utf8.ValidString(f.CloseReason()):
		return exception{because: "gorilla answers a reason that is not UTF-8 with 1002, we do with 1007"}
	default:
		return exception{}
	}
}

// plain handles the whole frames of a message that have arrived.
func (m *scan) plain() exception {
	if m.text && !beginsText(m.payload, m.open) {
		return exception{because: "gorilla does not check text (RFC 6455, 8.1)"}
	}
	return exception{}
}

// beginsText reports whether p is valid text or, with more, the beginning of one, which may
// end within a character.
func beginsText(p []byte, more bool) bool {
	cut := 0
	for more && cut < min(utf8.UTFMax-1, len(p)) && !utf8.Valid(p[:len(p)-cut]) {
		cut++
	}
	whole, rest := p[:len(p)-cut], p[len(p)-cut:]
	return utf8.Valid(whole) && (cut == 0 || !utf8.FullRune(rest))
}

// compressed is plain for a compressed message.
func (m *scan) compressed() exception {
	message, left, err := inflate(m.payload, "\x01\x00\x00\xff\xff")
	long, invalid := len(message) > differentialLimit, m.text && !utf8.Valid(message)
	switch {
	case !m.open && err == nil && left > 0 && left != 5 && left != 9:
		return exception{because: "gorilla drops what comes after a last block (RFC 7692, 7.2.3.4)"}
	case !m.open && err == nil && goesOn(m.payload, message):
		return exception{because: "gorilla takes the last block that it adds for a part of the message"}
	case !m.open && long && invalid:
		return exception{ours: true, because: "a message that is too long and no text may be called either"}
	case !m.open && long, len(m.payload) > differentialLimit:
		return exception{because: "we count what is inflated, gorilla what is on the wire"}
	case m.open:
		return exception{}
	case invalid:
		return exception{because: "gorilla does not check text (RFC 6455, 8.1)"}
	case err != nil:
		return exception{because: "gorilla sends no close frame for corrupt data"}
	default:
		return exception{}
	}
}

// goesOn reports whether the payload of an inflated message has something after its last
// block: then another last block yields another message.
func goesOn(payload, message []byte) bool {
	other, _, err := inflate(payload, "\x03\x00")
	return err != nil || !bytes.Equal(message, other)
}

// inflate inflates a payload and a last block after it with the standard library. It also
// returns how much is left after the first last block, including the tail and last.
func inflate(payload []byte, last string) (message []byte, left int, err error) {
	in := strings.NewReader(string(payload) + "\x00\x00\xff\xff" + last)
	message, err = io.ReadAll(io.LimitReader(flate.NewReader(in), 10*differentialLimit))
	return message, in.Len(), err
}
