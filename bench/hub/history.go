package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// The rooms of the measurements. One of them has a history.
const (
	plainRoom = "plain"
	keptRoom  = "kept"
)

var kept = &hub.HistoryOptions{Rooms: func(room string) hub.Keep {
	if room == keptRoom {
		return hub.Keep{Messages: 1000}
	}
	return hub.Keep{}
}}

// historyMembers is how many members a room has, on each of its nodes.
const historyMembers = 10

// join puts connections into the rooms of a hub.
func join(ctx context.Context, h *hub.Hub, conns []*websocket.Conn, rooms ...string) ([]*hub.Member, error) {
	members := make([]*hub.Member, len(conns))
	for i, conn := range conns {
		var err error
		if members[i], err = h.Join(conn); err != nil {
			return nil, err
		}
		if err = members[i].JoinContext(ctx, rooms...); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// measureHistories measures messages at 1,000 a second to rooms with and without a history: on one
// node, and on two, which a network connects.
func measureHistories(ctx context.Context, p plan) (rows []row, err error) {
	nets, err := networks(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeNetworks(nets)) }()
	s, err := newSite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	conns, err := s.dial(2 * historyMembers)
	if err != nil {
		return nil, err
	}
	var c circle
	defer func() { err = errors.Join(err, c.close()) }()
	var ways []way
	add := func(where string, h *hub.Hub, members int) {
		for i, room := range []string{plainRoom, keptRoom} {
			what := []string{"no history", "with a history"}[i]
			name := fmt.Sprintf("1,000 messages a second to %s: %s", where, what)
			ways = append(ways, way{name: name, each: "message", run: s.paced(h.To(hub.Room(room)), members, p.of(1000)), base: len(ways) - i})
		}
	}
	alone := c.add(hub.Options{History: kept})
	if _, err := join(ctx, alone, conns[:historyMembers], plainRoom, keptRoom); err != nil {
		return nil, err
	}
	add("10 members of one node", alone, historyMembers)
	for _, n := range nets {
		var first *hub.Hub
		for i := range 2 {
			broker, err := n.node()
			if err != nil {
				return nil, err
			}
			h := c.add(hub.Options{Broker: broker, History: kept})
			if _, err := join(ctx, h, conns[i*historyMembers:][:historyMembers], plainRoom, keptRoom); err != nil {
				return nil, err
			}
			if i == 0 {
				first = h
			}
		}
		add("10 members each of two nodes, by "+n.name, first, 2*historyMembers)
	}
	return takeTurns(ctx, p.rounds, ways)
}

// paced returns a function that sends 1,000 messages a second, or fewer if that is too many.
func (s *site) paced(to hub.Audience, members, messages int) func(context.Context) (cost, error) {
	return func(context.Context) (cost, error) {
		cpu, err := timed(func() error {
			ticker := time.NewTicker(time.Millisecond)
			defer ticker.Stop()
			for range messages {
				<-ticker.C
				if err := to.Send(text); err != nil {
					return err
				}
			}
			return s.await(messages * members)
		})
		return cost{operations: messages, cpu: cpu}, err
	}
}

// What the members of measureResuming have missed.
const (
	resuming = 100 // members
	missed   = 500 // messages
)

// measureResuming measures members that come back and get what they have missed, beside the same
// messages sent to members that are there.
func measureResuming(ctx context.Context, p plan) (rows []row, err error) {
	nets, err := networks(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeNetworks(nets)) }()
	s, err := newSite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	conns, err := s.dial(1 + p.of(resuming))
	if err != nil {
		return nil, err
	}
	var c circle
	defer func() { err = errors.Join(err, c.close()) }()
	alone := c.add(hub.Options{History: kept})
	r, err := p.newComeback(ctx, s, alone, alone, conns)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d messages to each of %d members", p.of(missed), p.of(resuming))
	send := s.sends(alone.To(hub.Room(plainRoom)), p.of(resuming), p.of(missed))
	ways := []way{
		{name: what + ": sent to a room without a history", each: "delivery", run: func(ctx context.Context) (cost, error) {
			c, err := send(ctx)
			c.operations *= p.of(resuming)
			return c, err
		}},
		{name: what + ": missed, and the node has them in memory", each: "delivery", run: r.run},
	}
	for _, n := range nets {
		var hubs [2]*hub.Hub
		for i := range hubs {
			broker, err := n.node()
			if err != nil {
				return nil, err
			}
			hubs[i] = c.add(hub.Options{Broker: broker, History: kept})
		}
		r, err := p.newComeback(ctx, s, hubs[0], hubs[1], conns)
		if err != nil {
			return nil, err
		}
		name := what + ": missed, and the node reads them by " + n.name
		ways = append(ways, way{name: name, each: "delivery", run: r.run})
	}
	return takeTurns(ctx, p.rounds, ways)
}

// A comeback is members of a hub that are away while another member, on the same node or another,
// gets messages.
type comeback struct {
	site     *site
	sender   *hub.Hub
	members  []*hub.Member
	messages int
}

func (p plan) newComeback(ctx context.Context, s *site, sender, h *hub.Hub, conns []*websocket.Conn) (*comeback, error) {
	if _, err := join(ctx, sender, conns[:1], keptRoom); err != nil {
		return nil, err
	}
	members, err := join(ctx, h, conns[1:], plainRoom)
	return &comeback{site: s, sender: sender, members: members, messages: p.of(missed)}, err
}

// run has the members miss messages, and come back. An operation is one message to one member.
func (r *comeback) run(ctx context.Context) (cost, error) {
	_, at, err := r.sender.History(ctx, keptRoom, hub.Position{}, 0)
	if err != nil {
		return cost{}, err
	}
	for range r.messages {
		if err := r.sender.To(hub.Room(keptRoom)).Send(text); err != nil {
			return cost{}, err
		}
	}
	if err := r.site.await(r.messages); err != nil {
		return cost{}, err
	}
	cpu, err := timed(func() error {
		for _, m := range r.members {
			if _, err := m.JoinSince(ctx, keptRoom, at); err != nil {
				return err
			}
		}
		return r.site.await(r.messages * len(r.members))
	})
	for _, m := range r.members {
		m.Leave(keptRoom)
	}
	return cost{operations: r.messages * len(r.members), cpu: cpu}, err
}
