package hub

import (
	"encoding/binary"
	"slices"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub/internal/claim"
)

// An envelope is what hubs publish to each other: an operation on an audience. docs/hub.md has the
// format, which other programs may write as well:
//
//	version      1 byte, envelopeVersion
//	operation    1 byte
//	fields       1 byte, their number; then each field:
//	    tag      1 byte
//	    length   of the value, an unsigned LEB128 (binary.AppendUvarint)
//	    value
//	body         the rest: the data of a message, or the payload of a close frame; a claim has
//	             8 bytes of time before that
//
// Without a field that names an audience, the audience is the members of the topic to which the
// envelope was published.
type envelope struct {
	op         byte
	to, except []Topic  // to is empty if the topic of the publication says it all
	rooms      []string // of opJoin and opLeave
	message    Message  // of opMessage
	code       int      // of opClose
	reason     string
	claim      claim.Claim // of opTake

	notice []byte // of opPresence, opValue and opGone: see roster.Notice; part of the payload
}

const envelopeVersion = 1

// Operations. The first three are opcodes of RFC 6455. An envelope in memory has opMessage for a
// binary message, too.
const (
	opMessage = websocket.TextMessage
	opBinary  = websocket.BinaryMessage
	opClose   = websocket.CloseMessage
	opJoin    = 16
	opLeave   = 17
	opTake    = 18

	opPresence = 32 // people of a node in a room have come, changed or gone
	opValue    = 33 // the value of a person, or, if it was never set, a question for it
	opGone     = 34 // a node has been shut down
)

// Tags of fields. A hub ignores an envelope with a tag that it does not know, so that nothing is
// done by halves. If that tag has the highest bit, the hub ignores the field alone.
const (
	fieldTo     = 1 // a byte for the kind, and a name
	fieldExcept = 2
	fieldRoom   = 3 // a name
	fieldMember = 4 // the ID of the member that takes a key
	fieldLatest = 5 // the subject of a message: see Message.Latest
	fieldPolicy = 6 // 1 byte: the Policy of a message

	optionalField = 0x80
)

// maxFields is the greatest number of fields: it has to fit into its byte.
const maxFields = 255

func (e *envelope) encode() ([]byte, error) {
	op, body := e.op, []byte(nil)
	switch e.op {
	case opMessage:
		op, body = byte(e.message.encoded.Type()), e.message.encoded.Data()
	case opClose:
		body = websocket.FormatCloseMessage(e.code, e.reason)
	case opTake:
		body = binary.BigEndian.AppendUint64(nil, e.claim.Time)
		body = append(body, websocket.FormatCloseMessage(e.claim.Code, e.claim.Reason)...)
	case opPresence, opValue, opGone:
		body = e.notice
	}
	var few [8]field // memory for most
	fields := e.fields(few[:0])
	if len(fields) > maxFields {
		return nil, errTooManyTargets
	}
	size := 3 + len(body)
	for i := range fields {
		size += 1 + binary.MaxVarintLen32 + fields[i].length()
	}
	p := append(make([]byte, 0, size), envelopeVersion, op, byte(len(fields)))
	for i := range fields {
		p = fields[i].append(p)
	}
	return append(p, body...), nil
}

// A field of an envelope has a value that is a string, with or without a byte before it.
type field struct {
	tag     byte
	hasByte bool
	byte    byte
	string  string
}

func (f *field) length() int {
	if f.hasByte {
		return 1 + len(f.string)
	}
	return len(f.string)
}

func (f *field) append(p []byte) []byte {
	p = binary.AppendUvarint(append(p, f.tag), uint64(f.length())) //nolint:gosec // it is not negative
	if f.hasByte {
		p = append(p, f.byte)
	}
	return append(p, f.string...)
}

// fields appends the fields of the envelope to a list.
func (e *envelope) fields(list []field) []field {
	list = slices.Grow(list, len(e.to)+len(e.except)+len(e.rooms)) // and a few more
	for _, t := range e.to {
		list = append(list, field{fieldTo, true, byte(t.Kind), t.Name})
	}
	for _, t := range e.except {
		list = append(list, field{fieldExcept, true, byte(t.Kind), t.Name})
	}
	for _, room := range e.rooms {
		list = append(list, field{tag: fieldRoom, string: room})
	}
	if e.op == opTake {
		list = append(list, field{tag: fieldMember, string: e.claim.ID})
	}
	if s := e.message.slow; s != nil {
		if s.subject != "" {
			list = append(list, field{tag: fieldLatest, string: s.subject})
		}
		if s.hasPolicy {
			list = append(list, field{fieldPolicy, true, byte(s.policy), ""})
		}
	}
	return list
}

// decode reads an envelope. It copies what it keeps, except a
// notice. It reports false for one that is malformed, or
// of a version or with fields that it does not know.
func (e *envelope) decode(p []byte) bool {
	if len(p) < 3 || p[0] != envelopeVersion {
		return false
	}
	e.op = p[1]
	fields, p := int(p[2]), p[3:]
	for range fields {
		if len(p) == 0 {
			return false
		}
		tag := p[0]
		length, n := binary.Uvarint(p[1:])
		if n <= 0 || length > uint64(len(p)-1-n) {
			return false
		}
		value := p[1+n : 1+n+int(length)] //nolint:gosec // it is not longer than p
		p = p[1+n+int(length):]           //nolint:gosec // likewise
		if !e.setField(tag, value) {
			return false
		}
	}
	return e.setBody(p)
}

func (e *envelope) setField(tag byte, value []byte) bool {
	switch tag {
	case fieldTo, fieldExcept:
		if len(value) == 0 {
			return false
		}
		t := Topic{Kind(value[0]), string(value[1:])}
		if tag == fieldTo {
			e.to = append(e.to, t)
		} else {
			e.except = append(e.except, t)
		}
	case fieldRoom:
		e.rooms = append(e.rooms, string(value))
	case fieldMember:
		e.claim.ID = string(value)
	case fieldLatest:
		e.message = e.message.Latest(string(value))
	case fieldPolicy:
		if len(value) != 1 {
			return false
		}
		e.message = e.message.WhenFull(Policy(value[0]))
	default:
		return tag&optionalField != 0
	}
	return true
}

func (e *envelope) setBody(body []byte) bool {
	switch e.op {
	case opMessage, opBinary:
		slow := e.message.slow
		e.message = encode(int(e.op), body)
		e.message.slow = slow
		e.op = opMessage
		return e.message.check() == nil
	case opClose:
		e.code, e.reason = parseClose(body)
		return websocket.ValidCloseCode(e.code)
	case opJoin, opLeave:
		return len(body) == 0
	case opTake:
		if len(body) < 8 {
			return false
		}
		e.claim.Time = binary.BigEndian.Uint64(body)
		e.claim.Code, e.claim.Reason = parseClose(body[8:])
		return e.claim.ID != "" && websocket.ValidCloseCode(e.claim.Code)
	case opPresence, opValue, opGone:
		e.notice = body // the roster checks it
		return true
	default:
		return false
	}
}

// parseClose parses the payload of a close frame. For a malformed one it returns code 0, which
// is not valid.
func parseClose(p []byte) (code int, reason string) {
	switch len(p) {
	case 0:
		return websocket.CloseNoStatusReceived, ""
	case 1:
		return 0, ""
	default:
		return int(binary.BigEndian.Uint16(p)), string(p[2:])
	}
}
