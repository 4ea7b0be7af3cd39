package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	return p.roster.Set(key.group.topic.Name, slices.Clone(value))
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

func (h *Hub) present(ctx context.Context, room string, list bool) ([]Person, int, error) {
	if h.presence == nil {
		return nil, 0, ErrNoPresence
	}
	people, n, err := h.presence.roster.Present(ctx, room, list)
	return convert[Person](people), n, err
}
