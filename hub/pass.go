package hub

import (
	"slices"

	"github.com/goyave-contrib/websocket"
)

// A delivery is a message to the members of a group, except some.
type delivery struct {
	message *websocket.EncodedMessage
	except  uint64   // the number of a member that is left out, 0 for none
	more    *details // nil for most
}

// details are what few deliveries have.
type details struct {
	except []uint64   // the numbers of more members that are left out
	slow   *slow      // the slow of the message; nil for none
	union  *union     // nil if the delivery is in one group only
	kept   *keptEntry // nil if the message is in no history
}

// leaveOut adds a member to those that are left out. It is called before the delivery is published.
func (d *delivery) leaveOut(number uint64) {
	switch {
	case number == 0: // of no member of this hub
		return
	case d.except == 0:
		d.except = number
		return
	}
	more := d.details()
	more.except = append(more.except, number)
}

func (d *delivery) details() *details {
	if d.more == nil {
		d.more = new(details)
	}
	return d.more
}

// isFor reports whether no target of Except names the member itself.
func (d *delivery) isFor(m *Member) bool {
	return d.except != m.number && (d.more == nil || !slices.Contains(d.more.except, m.number))
}

// newDelivery returns a delivery of a message that the hub has checked.
func (h *Hub) newDelivery(message Message) delivery {
	d := delivery{message: message.encoded}
	if s := h.slowOf(message); s != nil {
		d.details().slow = s
	}
	return d
}

// slowOf returns the slow of a message, with the hub's policy if the message has no policy; nil for
// none.
func (h *Hub) slowOf(message Message) *slow {
	switch s := message.slow; {
	case s == nil:
		return h.slow
	case s.hasPolicy || h.slow == nil:
		return s
	default:
		return newSlow(s.subject, false, h.options.WhenFull)
	}
}

func (d *delivery) slow() *slow {
	if d.more == nil {
		return nil
	}
	return d.more.slow
}

// isKept reports whether the message is in the history of the group.
func (d *delivery) isKept() bool { return d.more != nil && d.more.kept != nil }

func (d *delivery) union() *union {
	if d.more == nil {
		return nil
	}
	return d.more.union
}

// A pass is consecutive deliveries of a group, for one visit of its members.
type pass struct {
	start      uint32 // the position of the first delivery
	deliveries []delivery
	messages   []*websocket.EncodedMessage // the message of each delivery, nil if there is one only
	one        [1]*websocket.EncodedMessage
	selective  bool // some deliveries leave out members
	single     bool // the messages are enqueued one by one: some are in other groups, too, or may take the place of others
}

func newPass(start uint32, deliveries []delivery) pass {
	p := pass{start: start, deliveries: deliveries}
	if len(deliveries) > 1 {
		p.messages = make([]*websocket.EncodedMessage, len(deliveries))
	}
	if len(deliveries) == 1 {
		p.one[0] = deliveries[0].message
	}
	for i := range deliveries {
		d := &deliveries[i]
		if i < len(p.messages) {
			p.messages[i] = d.message
		}
		p.selective = p.selective || d.except != 0
		p.single = p.single || d.union() != nil || d.slow() != nil
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

// messagesFor returns the messages for a member, from a position on. The pass is not single. A member
// that is held (see isHeld) gets nothing of the history.
func (p *pass) messagesFor(m *Member, from uint32, isHeld bool) []*websocket.EncodedMessage {
	first := p.index(from)
	if !isHeld && (!p.selective || !slices.ContainsFunc(p.deliveries[first:], func(d delivery) bool { return !d.isFor(m) })) {
		if p.messages == nil {
			return p.one[first:]
		}
		return p.messages[first:]
	}
	var messages []*websocket.EncodedMessage
	for _, d := range p.deliveries[first:] {
		if d.isFor(m) && (!isHeld || !d.isKept()) {
			messages = append(messages, d.message)
		}
	}
	return messages
}
