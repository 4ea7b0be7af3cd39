// Package claim orders claims: a claim is a member's wish to be the only member with a key. The package
// knows neither how members are disconnected nor how nodes learn of claims.
//
// All nodes order claims in the same way, so that exactly one member stays, whichever node learns of which
// claim first.
package claim

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// A Claim says that a member wants to be the only one with its key, and since when.
type Claim struct {
	Key    string
	ID     string // of the member
	Time   uint64 // in nanoseconds since 1970; 0 if the key was set and not taken
	Code   int    // for the others
	Reason string
}

// IsBefore reports whether a claim is older than another one. No two members have equal claims,
// unless they have not taken the key at all.
func (c Claim) IsBefore(other Claim) bool {
	if c.Time != other.Time {
		return c.Time < other.Time
	}
	return strings.Compare(c.ID, other.ID) < 0
}

// Claims are the claims of the members on this node, one for each key that a member has taken and has,
// or is about to have. The zero value is ready to use. Its methods may be called from any goroutine.
type Claims[M comparable] struct {
	mu       sync.Mutex // no other mutex is locked while this one is held
	byMember map[M][]Claim
	last     uint64
}

// Add records a claim, which is newer than all others of this node. It takes the place of the
// member's previous claim of that key, if there is one.
func (s *Claims[M]) Add(m M, c Claim) (added, previous Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last+1, uint64(time.Now().UnixNano())) //nolint:gosec // it is after 1970
	c.Time = s.last
	if s.byMember == nil {
		s.byMember = make(map[M][]Claim)
	}
	list, previous := remove(s.byMember[m], c.Key)
	s.byMember[m] = append(list, c)
	return c, previous
}

// Of returns a member's claim of a key. If the member has not taken the key, its Time is 0.
func (s *Claims[M]) Of(m M, key string) Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byMember[m] {
		if c.Key == key {
			return c
		}
	}
	return Claim{Key: key}
}

// Replace undoes Add: previous is there again, if there was one. It does nothing if the claim that
// was added is not the latest any more.
func (s *Claims[M]) Replace(m M, added, previous Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.byMember[m], added) {
		return
	}
	list, _ := remove(s.byMember[m], added.Key)
	if previous.Time != 0 {
		list = append(list, previous)
	}
	s.set(m, list)
}

// Forget removes the claim of a key that the member has no more.
func (s *Claims[M]) Forget(m M, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list, c := remove(s.byMember[m], key); c.Time != 0 {
		s.set(m, list)
	}
}

// ForgetAll removes the claims of a member that has left.
func (s *Claims[M]) ForgetAll(m M) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byMember, m)
}

// Len returns the number of claims.
func (s *Claims[M]) Len() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.byMember {
		n += len(list)
	}
	return n
}

// set sets the list of a member. The caller holds the mutex.
func (s *Claims[M]) set(m M, list []Claim) {
	if len(list) == 0 {
		delete(s.byMember, m)
		return
	}
	s.byMember[m] = list
}

// remove returns a list without the claim of a key, and that claim, zero if there is none. The given list
// is not used any more.
func remove(list []Claim, key string) (rest []Claim, removed Claim) {
	i := slices.IndexFunc(list, func(c Claim) bool { return c.Key == key })
	if i < 0 {
		return list, Claim{}
	}
	removed = list[i]
	return slices.Delete(list, i, i+1), removed
}
