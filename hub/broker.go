package hub

import (
	"encoding/binary"

	"github.com/goyave-contrib/websocket"
)

// A Broker carries messages between the hubs of several nodes. Delivery is at most once: the hub
// does not repeat a message that the broker loses. Messages that one hub publishes to one topic
// must arrive in order.
//
// The hub calls all methods except Open from any goroutine, concurrently. It holds locks that
// receive needs when it calls Subscribe and Unsubscribe: they must wait neither for the network
// nor for a call of receive. The hub recovers a panic of any method except Open and treats it as
// the method's error, a *websocket.PanicError. The package brokertest has tests for these
// rules.
type Broker interface {
	// Open is called once, before any other method. From then on, the broker calls receive
	// with the messages that other hubs publish to Everyone and to the topics that this hub
	// has subscribed to, but never with messages of this hub itself. Receive waits for no
	// connection and does not retain the payload. Several goroutines may call it, but only one
	// at a time for each topic.
	Open(receive func(t Topic, payload []byte))
	// Publish sends a payload to the other hubs. The hub does not change the payload
	// afterwards, and the broker may retain it but must not change it.
	Publish(t Topic, payload []byte) error
	// Subscribe is called when a room or a key gets its first member on this node. With an
	// error, the member does not enter.
	Subscribe(t Topic) error
	// Unsubscribe is called when a room or a key has lost its last member on this node.
	// Receive may still be called for messages that were on their way. The error is ignored.
	Unsubscribe(t Topic) error
	// Close ends the broker. Once it has returned, receive is not called any more, and
	// Publish and Subscribe return errors.
	Close() error
}

// A Topic identifies the recipients of a message.
type Topic struct {
	Kind Kind
	Name string // the name of the room, or the key; any string; empty for Everyone
}

// A Kind says which recipients a [Topic] identifies.
type Kind int

// The kinds of topics. The values are fixed: brokers may send them over the network.
const (
	Everyone Kind = iota // all members
	Room                 // the members in a room
	Key                  // the members with a key
)

// A published payload begins with one byte: either the type of a message, and its data follows;
// or CloseMessage, and the payload of a close frame follows.

func messagePayload(m *websocket.EncodedMessage) []byte {
	return append([]byte{byte(m.Type())}, m.Data()...)
}

func closePayload(code int, reason string) []byte {
	return append([]byte{websocket.CloseMessage}, websocket.FormatCloseMessage(code, reason)...)
}

func (h *Hub) publish(t Topic, payload func() []byte) error {
	if h.options.Broker == nil || h.brokerClosed.Load() {
		return nil
	}
	err := h.options.Broker.Publish(t, payload())
	if h.brokerClosed.Load() { // closed during the call: a lost message is no error then
		return nil
	}
	return err
}

func (h *Hub) subscribe(t Topic) error {
	if h.options.Broker == nil {
		return nil
	}
	return h.options.Broker.Subscribe(t)
}

func (h *Hub) unsubscribe(t Topic) {
	if h.options.Broker != nil {
		_ = h.options.Broker.Unsubscribe(t) // the group is gone, so later messages are ignored
	}
}

// receive delivers a message that another hub has published. It ignores malformed payloads,
// because it has no caller that could handle an error.
func (h *Hub) receive(t Topic, payload []byte) {
	if len(payload) == 0 {
		return
	}
	if payload[0] == websocket.CloseMessage {
		code, reason := parseClose(payload[1:])
		if t.Kind == Key && websocket.ValidCloseCode(code) {
			h.disconnect(t.Name, code, reason)
		}
		return
	}
	g := h.group(t)
	if g == nil {
		return
	}
	if m := encode(int(payload[0]), payload[1:]); h.check(m) == nil {
		g.publish(delivery{message: m.encoded})
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
