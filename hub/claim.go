package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub/internal/claim"
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
	c, previous := h.claims.Add(m, claim.Claim{Key: key, ID: m.ID(), Code: code, Reason: reason}) // before the member has the key
	if err := m.SetKey(key); err != nil {
		h.claims.Replace(m, c, previous)
		return err
	}
	err := m.awaitSubscribed(ctx)
	if err != nil {
		m.exit(keyMembership)
		h.claims.Forget(m, key)
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
func (h *Hub) settle(c claim.Claim) (newer claim.Claim, ok bool) {
	members := h.WithKey(c.Key)
	newest := c
	for _, m := range members {
		if own := h.claims.Of(m, c.Key); newest.IsBefore(own) {
			newest, ok = own, true
		}
	}
	var losers []*Member
	for _, m := range members {
		if h.claims.Of(m, c.Key).IsBefore(newest) {
			losers = append(losers, m)
		}
	}
	h.disconnect(losers, newest.Code, newest.Reason)
	return newest, ok
}

// receiveClaim settles a claim of another node. If a member of this node has a newer claim, the other
// node may not know that claim, so receiveClaim publishes it.
func (h *Hub) receiveClaim(c claim.Claim) {
	if newer, ok := h.settle(c); ok {
		h.start(func() { // a broker may hold up what is published while it receives
			_ = h.publishClaim(newer)
		})
	}
}

// publishClaim publishes a claim to all nodes: a node that has just got its first member with the key
// may not be subscribed to the key yet.
func (h *Hub) publishClaim(c claim.Claim) error {
	return h.publishTo(Everyone(), envelope{op: opTake, to: []Topic{Key(c.Key)}, claim: c})
}
