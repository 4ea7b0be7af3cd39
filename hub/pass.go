package hub

import (
	"slices"

	"github.com/goyave-contrib/websocket"
)

// A pass is consecutive deliveries of a group, for one visit of its members.
type pass struct {
	start      uint32 // the position of the first delivery
	deliveries []delivery
	messages   []*websocket.EncodedMessage // the message of each delivery
	selective  bool                        // some deliveries leave out members
}

func newPass(start uint32, deliveries []delivery) *pass {
	p := &pass{start: start, deliveries: deliveries, messages: make([]*websocket.EncodedMessage, len(deliveries))}
	for i, d := range deliveries {
		p.messages[i] = d.message
		p.selective = p.selective || len(d.except) > 0
	}
	return p
}

// end returns the position after the last delivery.
func (p *pass) end() uint32 { return p.start + uint32(len(p.deliveries)) }

// index returns the index in deliveries of a position: 0 for earlier positions, and the
// length for later ones.
func (p *pass) index(position uint32) int {
	return min(max(int(int32(position-p.start)), 0), len(p.deliveries))
}

// messagesFor returns the messages for a member, from a position on.
func (p *pass) messagesFor(m *Member, from uint32) []*websocket.EncodedMessage {
	first := p.index(from)
	if !p.selective || !slices.ContainsFunc(p.deliveries[first:], func(d delivery) bool { return !d.isFor(m) }) {
		return p.messages[first:]
	}
	var messages []*websocket.EncodedMessage
	for _, d := range p.deliveries[first:] {
		if d.isFor(m) {
			messages = append(messages, d.message)
		}
	}
	return messages
}

func (d delivery) isFor(m *Member) bool { return !slices.Contains(d.except, m) }
