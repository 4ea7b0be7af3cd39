package roster

import (
	"context"
	"time"
)

// A Person is in a room: at least one member with the key is, on any node, or was a moment ago.
type Person struct {
	Key   string
	Value []byte // nil if it is empty
}

// Set sets the value of the person with a key, which a member of this node has: in all rooms, on all
// nodes. Of calls at about the same time, the last one counts. The value is not changed afterwards. The
// error is Options.Off.
func (p *Roster) Set(key string, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disabled {
		return p.options.Off
	}
	if len(value) == 0 {
		value = nil
	}
	lp := p.localPerson(key)
	now := uint64(time.Now().UnixNano()) //nolint:gosec // it is after 1970
	p.adopt(lp, &stamped{time: max(p.clock+1, now), node: p.options.Node, value: value})
	p.queueSend(lp)
	return nil
}

// Present returns the people in a room, on all nodes, in any order, and their number. If this node
// follows the room, the answer is what the owner has been told or is about to be; otherwise the broker is
// asked, for 5 seconds at most. Without a list, it may return the number alone. The error is Options.Off
// or the broker's.
func (p *Roster) Present(ctx context.Context, room string, list bool) (people []Person, n int, err error) {
	p.mu.Lock()
	r, disabled := p.rooms[room], p.disabled
	switch {
	case disabled:
		p.mu.Unlock()
		return nil, 0, p.options.Off
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
func (r *Room) everybody() []Person {
	people := make([]Person, 0, r.present)
	for _, who := range r.people {
		if value := who.value(); value != nil {
			people = append(people, Person{who.key, value.value})
		}
	}
	return people
}

// ask asks the broker who is in a room, and adds the people of this node.
func (p *Roster) ask(ctx context.Context, room string) (map[string]*stamped, error) {
	ctx, cancel := context.WithTimeout(ctx, mostCall)
	defer cancel()
	list, err := p.broker.ListPresence(ctx, room)
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
			if value, ok := decodeStamped(e.Value); ok && e.Key != partialKey && np.Node != p.options.Node {
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
