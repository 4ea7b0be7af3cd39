package hub

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/goyave-contrib/websocket"
)

// A Message is encoded once for all its recipients. [Text], [Binary], [JSON] and [Encoded] make
// one; sending the zero value is an error. It may be sent many times, from any goroutine.
type Message struct {
	encoded *websocket.EncodedMessage
	err     error // why encoded is nil
	slow    *slow // nil for most messages
}

// A slow says how a message is queued for members that read slowly.
type slow struct {
	subject     string // see Latest
	hasPolicy   bool
	policy      Policy                 // the hub's unless hasPolicy
	replacement *websocket.Replacement // nil: none
}

func newSlow(subject string, hasPolicy bool, policy Policy) *slow {
	s := &slow{subject: subject, hasPolicy: hasPolicy, policy: policy}
	if subject != "" || policy == DropOldest {
		s.replacement = websocket.NewReplacement(subject, policy == DropOldest)
	}
	return s
}

// Latest returns the message as one about a subject, of which only the latest counts, such as the
// price of a share. In the queue of a member, it takes the place of an earlier message about the same
// subject that has not begun to be written. A client that reads slowly gets the latest one alone, in
// the place of the earlier one, ahead of what was sent in between. A subject is not the key of a
// member: [Key] names recipients, a subject names the message to replace. Messages to all rooms
// share the subjects, so a subject that differs by room should name the room. The empty subject is
// none.
func (m Message) Latest(subject string) Message {
	if m.slow == nil {
		m.slow = newSlow(subject, false, Disconnect)
	} else {
		m.slow = newSlow(subject, m.slow.hasPolicy, m.slow.policy)
	}
	return m
}

// WhenFull returns the message with a policy of its own, in place of Options.WhenFull. An unknown
// policy makes sending the message an error.
func (m Message) WhenFull(policy Policy) Message {
	subject := ""
	if m.slow != nil {
		subject = m.slow.subject
	}
	m.slow = newSlow(subject, true, policy)
	return m
}

// Type returns [websocket.TextMessage] or [websocket.BinaryMessage], 0 if the message can't be sent.
func (m Message) Type() int {
	if m.encoded == nil {
		return 0
	}
	return m.encoded.Type()
}

// Data returns the payload of the message, which the caller must not change. It is nil if the message
// can't be sent.
func (m Message) Data() []byte {
	if m.encoded == nil {
		return nil
	}
	return m.encoded.Data()
}

var (
	errNoMessage   = errors.New("hub: empty Message: make one with Text, Binary, JSON or Encoded")
	errPolicy      = errors.New("hub: unknown Policy")
	errInvalidText = errors.New("hub: text is not UTF-8")
)

// maxFrameOverhead is how many bytes a frame can be longer than its message. A message that does
// not compress well may add a thousandth of its length to this.
const maxFrameOverhead = 64

// Text returns a text message. If the text is not valid UTF-8, sending the message is an error,
// because the peers would have to fail their connections (RFC 6455, 8.1).
func Text(text string) Message { return encode(websocket.TextMessage, []byte(text)) }

// Binary returns a binary message with a copy of the data.
func Binary(data []byte) Message { return encode(websocket.BinaryMessage, data) }

// JSON returns a text message with the JSON encoding of v. If v can't be encoded, sending the
// message is an error.
func JSON(v any) Message {
	data, err := json.Marshal(v)
	if err != nil {
		return Message{err: err}
	}
	return encode(websocket.TextMessage, data)
}

// Encoded returns a message that is encoded already. If m is nil, sending it is an error.
func Encoded(m *websocket.EncodedMessage) Message { return Message{encoded: m} }

func encode(messageType int, data []byte) Message {
	if messageType == websocket.TextMessage && !utf8.Valid(data) {
		return Message{err: errInvalidText}
	}
	m, err := websocket.EncodeMessage(messageType, data)
	return Message{encoded: m, err: err}
}

// check returns why the message can't be sent, or nil.
func (m Message) check() error {
	switch {
	case m.err == nil && m.encoded == nil:
		return errNoMessage
	case m.slow != nil && !m.slow.policy.isValid():
		return errPolicy
	}
	return m.err
}
