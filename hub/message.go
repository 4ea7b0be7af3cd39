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
	key         string // see Latest
	hasPolicy   bool
	policy      Policy                 // the hub's unless hasPolicy
	replacement *websocket.Replacement // nil: none
}

func newSlow(key string, hasPolicy bool, policy Policy) *slow {
	s := &slow{key: key, hasPolicy: hasPolicy, policy: policy}
	if key != "" || policy == DropOldest {
		s.replacement = websocket.NewReplacement(key, policy == DropOldest)
	}
	return s
}

// Latest returns the message with a key: in the queue of a member, it takes the place of an earlier
// one with the same key that has not begun to be written. A client that
// reads slowly gets only the latest price, position or count, in the place of the earlier one, ahead
// of what was sent in between. Messages to all rooms share the keys, so a key should name the room, too. The empty
// key is none.
func (m Message) Latest(key string) Message {
	if m.slow == nil {
		m.slow = newSlow(key, false, Disconnect)
	} else {
		m.slow = newSlow(key, m.slow.hasPolicy, m.slow.policy)
	}
	return m
}

// WhenFull returns the message with a policy of its own, in place of Options.WhenFull. An unknown
// policy makes sending the message an error.
func (m Message) WhenFull(policy Policy) Message {
	key := ""
	if m.slow != nil {
		key = m.slow.key
	}
	m.slow = newSlow(key, true, policy)
	return m
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
