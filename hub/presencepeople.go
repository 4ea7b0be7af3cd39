package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

var errNoKey = errors.New("hub: a member without a key is no person")

// SetPresence sets the value of the person that the member's key names, such as a name or a status: in
// all rooms, for all members with the key, on all nodes. Of calls at about the same time, the last one
// counts, by the clocks of the nodes. The value is kept for as long as a member has the key or the
// person is in a room. An empty value, or nil, removes it. SetPresence copies the value, and does not
// wait for other nodes.
//
// The error is [ErrNoPresence], or that of a value longer than PresenceOptions.MaxValue or a member
// without a key, or one of [Member.Join]; the value is then as it was.
func (m *Member) SetPresence(value []byte) error {
	p := m.hub.presence
	if p == nil {
		return ErrNoPresence
	}
	if len(value) > p.options.MaxValue {
		return fmt.Errorf("hub: value of %d bytes is longer than Options.Presence.MaxValue, %d", len(value), p.options.MaxValue)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hub.mu.RLock()
	defer m.hub.mu.RUnlock()
	if err := m.hub.entryError(m); err != nil {
		return err
	}
	key := m.memberships.key()
	if key == nil {
		return errNoKey
	}
	return p.set(key.group.topic.Name, slices.Clone(value))
}

func (p *presence) set(key string, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disabled {
		return ErrNoPresence
	}
	if len(value) == 0 {
		value = nil
	}
	lp := p.localPerson(key)
	now := uint64(time.Now().UnixNano()) //nolint:gosec // it is after 1970
	p.adopt(lp, &stamped{time: max(p.clock+1, now), node: p.hub.node, value: value})
	p.queueSend(lp)
	return nil
}

// Present returns the people in a room, on all nodes, sorted by key; each is listed once. If this node
// has members in the room, the answer is what they have been told, or are about to be told. Otherwise
// the broker is asked, for 5 seconds at most. The error is [ErrNoPresence] or the broker's. The values
// must not be changed.
func (h *Hub) Present(ctx context.Context, room string) ([]Person, error) {
	people, _, err := h.present(ctx, room, true)
	slices.SortFunc(people, func(a, b Person) int { return strings.Compare(a.Key, b.Key) })
	return people, err
}

// CountPresent returns the number of people in a room, as Present does.
func (h *Hub) CountPresent(ctx context.Context, room string) (int, error) {
	_, n, err := h.present(ctx, room, false)
	return n, err
}

func (h *Hub) present(ctx context.Context, room string, list bool) (people []Person, n int, err error) {
	p := h.presence
	if p == nil {
		return nil, 0, ErrNoPresence
	}
	p.mu.Lock()
	r, disabled := p.rooms[room], p.disabled
	switch {
	case disabled:
		p.mu.Unlock()
		return nil, 0, ErrNoPresence
	case r != nil && r.remote.listed || p.broker == nil:
		defer p.mu.Unlock()
		if r == nil {
			return nil, 0, nil
		}
		if list {
			people = r.everybody()
		}
		return people, r.present, nil
	}
	p.mu.Unlock()
	values, err := p.ask(ctx, room)
	for key, value := range values {
		people = append(people, Person{key, value.value})
	}
	return people, len(people), err
}

// everybody returns the people in a room. The caller holds mu.
func (r *presentRoom) everybody() []Person {
	people := make([]Person, 0, r.present)
	for _, who := range r.people {
		if value := who.value(); value != nil {
			people = append(people, Person{who.key, value.value})
		}
	}
	return people
}

// ask asks the broker who is in a room, and adds the people of this node.
func (p *presence) ask(ctx context.Context, room string) (map[string]*stamped, error) {
	ctx, cancel := context.WithTimeout(ctx, mostCall)
	defer cancel()
	list, err := p.broker.ListPresence(ctx, Room(room))
	if err != nil {
		return nil, err
	}
	values := make(map[string]*stamped)
	add := func(key string, value *stamped) {
		if old := values[key]; old == nil || old.isBefore(value) {
			values[key] = value
		}
	}
	for _, np := range list {
		for _, e := range np.Entries {
			if value, ok := decodeStamped(e.Value); ok && e.Key != partialKey && np.Node != p.hub.node {
				add(e.Key, value)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.rooms[room]; r != nil {
		for _, who := range r.people {
			if who.local != nil {
				add(who.key, who.copyOfThisNode())
			}
		}
	}
	return values, nil
}
