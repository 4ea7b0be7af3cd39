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
}

var (
	errNoMessage   = errors.New("hub: empty Message: make one with Text, Binary, JSON or Encoded")
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
	if m.err == nil && m.encoded == nil {
		return errNoMessage
	}
	return m.err
}
