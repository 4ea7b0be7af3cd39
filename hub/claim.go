package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
)

var errEmptyKey = errors.New("hub: the empty key can't be taken")

// TakeKey gives the member a key, as [Member.SetKey] does, and disconnects all other members that
// have it, on all nodes, with a code and a reason. Of members that take the same key at about the
// same time, on whichever nodes, exactly one stays: the one that called TakeKey last, by the clocks
// of the nodes. A member that had its key from SetKey is always older.
//
// TakeKey waits until the broker has subscribed to the key, as [Member.JoinContext] does for rooms.
// When it returns, the other members on this node have left. If ctx ends first, the member has no key, and
// the error wraps the cause of ctx. The errors are those of [Member.Join] otherwise, also where
// another member has taken the key from this one meanwhile; and those for the code of
// [Audience.Disconnect].
func (m *Member) TakeKey(ctx context.Context, key string, code int, reason string) error {
	switch {
	case key == "":
		return errEmptyKey
	case !websocket.ValidCloseCode(code):
		return fmt.Errorf("hub: close code %d may not be sent", code)
	}
	h := m.hub
	c := h.claims.add(m, claim{key: key, id: m.ID(), code: code, reason: reason}) // before anyone can ask for it
	err := m.SetKey(key)
	if err == nil {
		if err = m.awaitSubscribed(ctx); err != nil {
			m.exit(keyMembership)
		}
	}
	if err != nil {
		h.claims.remove(m)
		return err
	}
	h.settle(c)
	if h.connected() {
		err = h.publishClaim(c)
	}
	if ended := m.sendError(); ended != nil {
		return ended // another member has the key
	}
	return err
}

// settle disconnects all members with a key on this node that are older than a claim, or than the
// newest of them. It returns the claim of that one, if it is newer than the given one.
func (h *Hub) settle(c claim) (newer claim, ok bool) {
	members := h.WithKey(c.key)
	newest := c
	for _, m := range members {
		if own := h.claims.of(m, c.key); newest.isBefore(own) {
			newest, ok = own, true
		}
	}
	var losers []*Member
	for _, m := range members {
		if h.claims.of(m, c.key).isBefore(newest) {
			losers = append(losers, m)
		}
	}
	h.disconnect(losers, newest.code, newest.reason)
	return newest, ok
}

// receiveClaim settles a claim of another node. If a member of this node is newer, the other node
// may not know it, and gets to know it.
func (h *Hub) receiveClaim(c claim) {
	if newer, ok := h.settle(c); ok {
		h.start(func() { // a broker may hold up what is published while it receives
			_ = h.publishClaim(newer)
		})
	}
}

// publishClaim publishes a claim to all nodes: one of them may have got its first member with the
// key a moment ago, and not be known to have it yet.
func (h *Hub) publishClaim(c claim) error {
	return h.publishTo(Everyone(), envelope{op: opTake, to: []Topic{Key(c.key)}, claim: c})
}

// A claim is a member's to be the only one with its key.
type claim struct {
	key    string
	id     string // of the member
	time   uint64 // in nanoseconds since 1970; 0 if the key was set and not taken
	code   int    // for the others
	reason string
}

// isBefore reports whether a claim is older than another one. No two members have equal claims,
// unless they have not taken the key at all.
func (c claim) isBefore(other claim) bool {
	if c.time != other.time {
		return c.time < other.time
	}
	return strings.Compare(c.id, other.id) < 0
}

// claims are the latest claims of the members on this node.
type claims struct {
	mu       sync.Mutex // locked behind all others
	byMember map[*Member]claim
	last     uint64
}

// add records a claim, which is newer than all others of this node.
func (s *claims) add(m *Member, c claim) claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last+1, uint64(time.Now().UnixNano())) //nolint:gosec // it is after 1970
	c.time = s.last
	if s.byMember == nil {
		s.byMember = make(map[*Member]claim)
	}
	s.byMember[m] = c
	return c
}

// of returns a member's claim of a key.
func (s *claims) of(m *Member, key string) claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byMember[m]; c.key == key {
		return c
	}
	return claim{key: key}
}

func (s *claims) remove(m *Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byMember, m)
}
