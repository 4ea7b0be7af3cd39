package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
)

var errEmptyKey = errors.New("hub: the empty key can't be taken")

// TakeKey gives the member a key, as [Member.SetKey] does, and disconnects all other members that
// have it, on all nodes, with a code and a reason. Of members that take the same key at about the
// same time, on whichever nodes, exactly one stays: the one that called TakeKey last, by the clocks
// of the nodes. A member whose key is from SetKey gives way to every member that has taken the key.
//
// TakeKey waits until the broker has subscribed to the key, as [Member.JoinContext] does for rooms.
// When it returns, the other members on this node have left. If ctx ends first, the member has no
// key, and the error wraps the cause of ctx. If the broker can't tell the other nodes, TakeKey
// returns its error, and the member keeps the key. A key counts as taken until the member has another
// one, or none. The empty key, and a code that may not be sent,
// are errors. The other errors are those of [Member.Join], also when another member has taken the
// key in the meantime.
func (m *Member) TakeKey(ctx context.Context, key string, code int, reason string) error {
	switch {
	case key == "":
		return errEmptyKey
	case !websocket.ValidCloseCode(code):
		return fmt.Errorf("hub: close code %d may not be sent", code)
	}
	h := m.hub
	c, previous := h.claims.add(m, claim{key: key, id: m.ID(), code: code, reason: reason}) // before the member has the key
	if err := m.SetKey(key); err != nil {
		h.claims.replace(m, c, previous)
		return err
	}
	err := m.awaitSubscribed(ctx)
	if err != nil {
		m.exit(keyMembership)
		h.claims.forget(m, key)
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

// settle finds the newest claim of a key: the given one, or the claim of a member on this node, which
// it returns then. It disconnects the members with the key on this node whose claims are older.
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

// receiveClaim settles a claim of another node. If a member of this node has a newer claim, the other
// node may not know that claim, so receiveClaim publishes it.
func (h *Hub) receiveClaim(c claim) {
	if newer, ok := h.settle(c); ok {
		h.start(func() { // a broker may hold up what is published while it receives
			_ = h.publishClaim(newer)
		})
	}
}

// publishClaim publishes a claim to all nodes: a node that has just got its first member with the key
// may not be subscribed to the key yet.
func (h *Hub) publishClaim(c claim) error {
	return h.publishTo(Everyone(), envelope{op: opTake, to: []Topic{Key(c.key)}, claim: c})
}

// A claim says that a member wants to be the only one with its key, and since when.
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

// claims are the claims of the members on this node, one for each key that a member has taken and has,
// or is about to have.
type claims struct {
	mu       sync.Mutex // no other mutex is locked while this one is held
	byMember map[*Member][]claim
	last     uint64
}

// add records a claim, which is newer than all others of this node. It takes the place of the
// member's previous claim of that key, if there is one.
func (s *claims) add(m *Member, c claim) (added, previous claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last+1, uint64(time.Now().UnixNano())) //nolint:gosec // it is after 1970
	c.time = s.last
	if s.byMember == nil {
		s.byMember = make(map[*Member][]claim)
	}
	list, previous := remove(s.byMember[m], c.key)
	s.byMember[m] = append(list, c)
	return c, previous
}

// of returns a member's claim of a key.
func (s *claims) of(m *Member, key string) claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byMember[m] {
		if c.key == key {
			return c
		}
	}
	return claim{key: key}
}

// replace undoes add: previous is there again, if there was one. It does nothing if the claim that
// was added is not the latest any more.
func (s *claims) replace(m *Member, added, previous claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, latest := remove(s.byMember[m], added.key)
	if latest != added {
		return
	}
	if previous.time != 0 {
		list = append(list, previous)
	}
	s.set(m, list)
}

// forget removes the claim of a key that the member has no more.
func (s *claims) forget(m *Member, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list, c := remove(s.byMember[m], key); c.time != 0 {
		s.set(m, list)
	}
}

// forgetAll removes the claims of a member that has left.
func (s *claims) forgetAll(m *Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byMember, m)
}

// set sets the list of a member. The caller holds the mutex.
func (s *claims) set(m *Member, list []claim) {
	if len(list) == 0 {
		delete(s.byMember, m)
		return
	}
	s.byMember[m] = list
}

// remove returns a list without the claim of a key, and that claim, zero if there is none.
func remove(list []claim, key string) (rest []claim, removed claim) {
	i := slices.IndexFunc(list, func(c claim) bool { return c.key == key })
	if i < 0 {
		return list, claim{}
	}
	removed = list[i]
	return slices.Delete(list, i, i+1), removed
}
