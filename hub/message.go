package hub

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/goyave-contrib/websocket"
)

// A Message is what is sent: encoded once, for all who receive it. Make one with
// [Text], [Binary], [JSON] or [Encoded]. It may be sent many times, by many goroutines.
type Message struct {
	encoded *websocket.EncodedMessage
	err     error // why there is none
}

var (
	errNoMessage   = errors.New("hub: empty Message: make one with Text, Binary, JSON or Encoded")
	errInvalidText = errors.New("hub: text is not UTF-8")
)

// maxFrameOverhead is how many bytes a frame is longer than its message, at most, but
// for a thousandth of that where it is compressed in vain.
const maxFrameOverhead = 64

// Text is a text message. Text that is not UTF-8 would end the connections it is sent
// to (RFC 6455, 8.1): sending it is an error.
func Text(text string) Message { return encode(websocket.TextMessage, []byte(text)) }

// Binary is a binary message, of a copy of the data.
func Binary(data []byte) Message { return encode(websocket.BinaryMessage, data) }

// JSON is a text message with the JSON of v. Sending it is an error if v has none.
func JSON(v any) Message {
	data, err := json.Marshal(v)
	if err != nil {
		return Message{err: err}
	}
	return encode(websocket.TextMessage, data)
}

// Encoded is a message that is encoded already.
func Encoded(m *websocket.EncodedMessage) Message { return Message{encoded: m} }

func encode(messageType int, data []byte) Message {
	if messageType == websocket.TextMessage && !utf8.Valid(data) {
		return Message{err: errInvalidText}
	}
	m, err := websocket.EncodeMessage(messageType, data)
	return Message{encoded: m, err: err}
}

// check returns why the message can't be sent.
func (m Message) check() error {
	if m.err == nil && m.encoded == nil {
		return errNoMessage
	}
	return m.err
}
