package hub

import (
	"context"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
)

// A rosterBroker is what the roster needs of a hub's broker.
type rosterBroker struct {
	hub    *Hub
	broker recoveringPresence
}

var _ roster.Broker = rosterBroker{}

func (b rosterBroker) AwaitSubscribed(ctx context.Context) error {
	return b.broker.AwaitSubscribed(ctx)
}

func (b rosterBroker) RenewNode(ctx context.Context, node string, ttl time.Duration) (roster.Lease, error) {
	lease, err := b.broker.RenewNode(ctx, node, ttl)
	return roster.Lease(lease), err
}

func (b rosterBroker) PutPresence(ctx context.Context, room, node string, revision uint64, changes []roster.Entry) error {
	return b.broker.PutPresence(ctx, Room(room), node, revision, convert[PresenceEntry](changes))
}

func (b rosterBroker) ListPresence(ctx context.Context, room string) ([]roster.NodeEntries, error) {
	list, err := b.broker.ListPresence(ctx, Room(room))
	nodes := make([]roster.NodeEntries, len(list))
	for i, np := range list {
		nodes[i] = roster.NodeEntries{Node: np.Node, Revision: np.Revision, Entries: convert[roster.Entry](np.Entries)}
	}
	return nodes, err
}

func (b rosterBroker) PresenceRevisions(ctx context.Context, rooms []string) ([]map[string]uint64, error) {
	topics := make([]Topic, len(rooms))
	for i, room := range rooms {
		topics[i] = Room(room)
	}
	return b.broker.PresenceRevisions(ctx, topics)
}

func (b rosterBroker) RemoveNode(ctx context.Context, node string) error {
	return b.broker.RemoveNode(ctx, node)
}

func (b rosterBroker) Publish(n roster.Notice) error {
	switch n.Kind {
	case roster.RoomChanged:
		return b.hub.publishTo(Room(n.Name), envelope{op: opPresence, notice: n.Body})
	case roster.ValueSet:
		return b.hub.publishTo(Key(n.Name), envelope{op: opValue, notice: n.Body})
	default:
		return b.hub.publishTo(Everyone(), envelope{op: opGone, notice: n.Body})
	}
}

// receive does what another node has published.
func (p *presence) receive(t Topic, e envelope) {
	n := roster.Notice{Name: t.Name, Body: e.notice}
	switch {
	case p == nil:
		return
	case e.op == opPresence && t.Kind == KindRoom:
		n.Kind = roster.RoomChanged
	case e.op == opValue && t.Kind == KindKey:
		n.Kind = roster.ValueSet
	case e.op == opGone:
		n.Kind = roster.NodeGone
	default:
		return
	}
	p.roster.Receive(n)
}

// keyed is what a person and an entry are, here and in the roster.
type keyed interface {
	~struct {
		Key   string
		Value []byte
	}
}

func convert[To, From keyed](list []From) []To {
	if list == nil {
		return nil
	}
	converted := make([]To, len(list))
	for i := range list {
		converted[i] = To(list[i])
	}
	return converted
}
