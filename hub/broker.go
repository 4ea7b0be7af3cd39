package hub

import (
	"encoding/binary"

	"github.com/goyave-contrib/websocket"
)

// A Broker carries messages between the hubs of several nodes. What it loses is lost:
// delivery is at most once. Messages that one hub publishes to one topic must arrive in
// order.
//
// All but Open may be called from any goroutine. Subscribe and Unsubscribe are called
// with locks held that receive needs: they wait neither for the network nor for a call
// of receive. A payload is changed by nobody, and may be kept by the broker. A panic of
// any method but Open becomes its error, a *websocket.PanicError. The package brokertest
// has tests for what is said here.
type Broker interface {
	// Open is called once, before anything else. From then on, the broker calls
	// receive with what other hubs publish to the topics that this one has subscribed
	// to, and to Everyone, and never with what this hub has published itself. Receive
	// waits for no connection and keeps no payload. Several goroutines may call it, but
	// with the messages of one topic one after the other.
	Open(receive func(t Topic, payload []byte))
	// Publish sends a payload to the other hubs.
	Publish(t Topic, payload []byte) error
	// Subscribe and Unsubscribe say that a room or key begins or ceases to have members
	// on this node. What was under way may still come.
	Subscribe(t Topic) error
	Unsubscribe(t Topic) error
	// Close ends it. Receive is not called any more when it has returned, and Publish
	// and Subscribe return errors.
	Close() error
}

// A Topic is who a message is for.
type Topic struct {
	Kind Kind
	Name string // of the room, or the key: any string
}

// A Kind says what a [Topic] is.
type Kind int

// The kinds. Their numbers stay as they are: brokers may send them.
const (
	Everyone Kind = iota // all members
	Room                 // the members in a room
	Key                  // the members with a key
)

// What is published begins with a byte that says what it is: the type of a message,
// which follows, or CloseMessage, with the payload of a close frame.

func messagePayload(m *websocket.EncodedMessage) []byte {
	return append([]byte{byte(m.Type())}, m.Data()...)
}

func closePayload(code int, reason string) []byte {
	return append([]byte{websocket.CloseMessage}, websocket.FormatCloseMessage(code, reason)...)
}

func (h *Hub) publish(t Topic, payload func() []byte) error {
	if h.options.Broker == nil || h.offline.Load() {
		return nil
	}
	err := h.options.Broker.Publish(t, payload())
	if h.offline.Load() { // since: what is lost then is no error
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
		_ = h.options.Broker.Unsubscribe(t) // what still comes finds nobody
	}
}

// receive delivers what another hub has published. What it can't make sense of, it
// ignores: nobody is there to be told.
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

// parseClose returns code 0, which is none, for what is not the payload of a close
// frame.
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
