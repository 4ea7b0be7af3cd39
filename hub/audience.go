package hub

import (
	"fmt"
	"slices"

	"github.com/goyave-contrib/websocket"
)

// A Target names members: a [Topic] that [Room], [Key], [Everyone] or [ID] returns, or a *[Member].
// A nil *Member names no member.
type Target interface{ isTarget() }

func (Topic) isTarget()   {}
func (*Member) isTarget() {}

var (
	_ Target = Topic{}
	_ Target = (*Member)(nil)
)

// Room names the members in a room, on all nodes.
func Room(name string) Topic { return Topic{KindRoom, name} }

// Key names the members that have a key, on all nodes: see [Member.SetKey].
func Key(key string) Topic { return Topic{KindKey, key} }

// Everyone names all members of all nodes.
func Everyone() Topic { return Topic{Kind: KindEveryone} }

// ID names the member with an ID, on whichever node it is: see [Member.ID]. An ID that no member
// has names no member.
func ID(id string) Topic { return Topic{kindMember, id} }

// An Audience is a set of members, on this node and all others: the members that the targets of
// [Hub.To] name, without the members that the targets of [Audience.Except] name. Hub.To makes one;
// the zero value is not usable. It is a description, not a list: each operation finds the members
// anew. It may be kept, copied and used any number of times, from any goroutine.
//
//	rooms.To(hub.Room("lobby"), hub.Key("ada")).Except(member).Send(message)
type Audience struct {
	hub        *Hub
	to, except targets
}

// targets is a list whose first element needs no memory of its own.
type targets struct {
	first target
	more  []target // never changed, so that copies of an Audience can share it
	n     int
}

// A target is a topic, or the member of a hub that has a number. It has no pointer to a Member,
// which would force the arguments of To and Except onto the heap.
type target struct {
	topic  Topic
	hub    *Hub // nil for a topic
	number uint64
}

func (s targets) with(added []Target) targets {
	s.more = slices.Clip(s.more)
	for _, t := range added {
		var next target
		switch t := t.(type) {
		case Topic:
			next.topic = t
		case *Member:
			if t == nil {
				continue
			}
			next.hub, next.number = t.hub, t.number
		default:
			continue
		}
		s.add(next)
	}
	return s
}

// withTopics is with for topics alone.
func (s targets) withTopics(added []Topic) targets {
	s.more = slices.Grow(slices.Clip(s.more), len(added))
	for _, t := range added {
		s.add(target{topic: t})
	}
	return s
}

func (s *targets) add(t target) {
	if s.n++; s.n == 1 {
		s.first = t
	} else {
		s.more = append(s.more, t)
	}
}

// at returns the target at an index, which must be less than n.
func (s *targets) at(i int) target {
	if i == 0 {
		return s.first
	}
	return s.more[i-1]
}

// To returns the audience that the targets name together. A member that several of them name is in
// it once. Without a target it is empty.
func (h *Hub) To(targets ...Target) Audience {
	a := Audience{hub: h}
	a.to = a.to.with(targets)
	return a
}

// Except returns the audience without the members that the targets name. Each operation leaves out
// the members that are in a room of these targets, or have a key of theirs, at that moment, on all
// nodes.
func (a Audience) Except(targets ...Target) Audience {
	a.except = a.except.with(targets)
	return a
}

// Send sends a message to the members of the audience. It does not wait for their connections. An
// audience without members is no error.
//
// If one goroutine sends several messages to the same room, to the same key or to everyone, alone or
// with other targets, the members that this target names receive them in that order: see the order
// of messages in docs/hub.md. A message to a *Member or an [ID] is in order only with other messages
// to that member.
//
// If the message could not be encoded, or is too long for the members' queues ([ErrTooLong]), Send
// sends nothing and returns the error. If the broker fails, Send returns its error, and the members
// on this node still receive the message.
//
// A message to a room with history (see [HistoryOptions]) can have no other target: that is an error.
// Send returns nil when such a message is kept, and has its place in the order of the room. It waits
// for the broker, at most HistoryOptions.Timeout. After an error of the broker, it is not known whether
// the message is kept: either the members on all nodes receive it, or none does.
func (a Audience) Send(message Message) error {
	h := a.hub
	if err := h.check(message); err != nil {
		return err
	}
	if h.history != nil {
		if keep, err := h.keepOf(&a); err != nil {
			return err
		} else if keep.Messages > 0 {
			return h.sendKept(&a, message, keep)
		}
	}
	h.deliver(a, message)
	if !h.connected() {
		return nil
	}
	return h.publish(a, envelope{op: opMessage, message: message})
}

// Disconnect closes the connections of the members of the audience. The close frame follows the
// messages that were sent to them before. When Disconnect returns, the members on this node have
// left all rooms and lists, and their Serve receives no more messages. It does not wait for the
// closing handshakes, nor for other nodes.
//
// A code that may not be sent (see [websocket.ValidCloseCode]) is an error, and no connection is
// closed. If the broker fails, Disconnect returns its error, and the connections on this node are
// still closed. An audience without members is no error.
func (a Audience) Disconnect(code int, reason string) error {
	if !websocket.ValidCloseCode(code) {
		return fmt.Errorf("hub: close code %d may not be sent", code)
	}
	a.hub.disconnect(a.hub.members(a), code, reason)
	if !a.hub.connected() {
		return nil
	}
	return a.hub.publish(a, envelope{op: opClose, code: code, reason: reason})
}

// Join puts the members of the audience into rooms. Members on this node are in the rooms when Join
// returns, members on another node when that node has received the operation. A member whose
// connection ends is left out. The error is the broker's: a member, on any node, that could not join
// because the broker failed is not in the rooms.
func (a Audience) Join(rooms ...string) error {
	err := a.hub.joinAll(a.hub.members(a), rooms)
	if len(rooms) == 0 || !a.hub.connected() {
		return err
	}
	if publishErr := a.hub.publish(a, envelope{op: opJoin, rooms: rooms}); err == nil {
		err = publishErr
	}
	return err
}

// Leave takes the members of the audience out of rooms, as [Member.Leave] does. Members on this
// node have left when Leave returns, members on another node when that node has received the
// operation. The error is the broker's.
func (a Audience) Leave(rooms ...string) error {
	for _, m := range a.hub.members(a) {
		m.Leave(rooms...)
	}
	if len(rooms) == 0 || !a.hub.connected() {
		return nil
	}
	return a.hub.publish(a, envelope{op: opLeave, rooms: rooms})
}
