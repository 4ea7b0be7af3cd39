package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

const (
	people  = 10_000
	nodes   = 3
	updated = 1000 // people whose status changes
	told    = 30   // changes of which the members are told, one after the other

	peopleRoom = "people"
)

// A meter counts the bytes of what a hub publishes and puts.
type meter struct {
	fullBroker
	bytes atomic.Int64
}

func (m *meter) Publish(t hub.Topic, payload []byte) error {
	m.bytes.Add(int64(len(payload)))
	return m.fullBroker.Publish(t, payload)
}

func (m *meter) PutPresence(ctx context.Context, room hub.Topic, node string, revision uint64, changes []hub.PresenceEntry) error {
	for _, c := range changes {
		m.bytes.Add(int64(len(c.Key) + len(c.Value)))
	}
	return m.fullBroker.PutPresence(ctx, room, node, revision, changes)
}

// measurePresence measures people who enter a room of three nodes, change their status and leave.
// Their connections take nothing, and what is sent to them is dropped, so that the numbers are those
// of presence, without the writes.
func measurePresence(ctx context.Context, p plan) (rows []row, err error) {
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
	for _, n := range nets {
		what := "by " + n.name
		more, err := p.visits(ctx, s, n, what, func(*hub.PresenceOptions) {})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		rows = append(rows, more...)
	}
	for _, w := range []struct {
		what string
		set  func(*hub.PresenceOptions)
	}{
		{"by `hub.Memory`, with `List`", func(o *hub.PresenceOptions) { o.List = list }},
		{"by `hub.Memory`, with `List` and `Changes`", func(o *hub.PresenceOptions) { o.List, o.Changes = list, changes }},
	} {
		more, err := p.visits(ctx, s, nets[0], w.what, w.set)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.what, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

type person struct {
	User   string `json:"user"`
	Status string `json:"status"`
}

func list(_ string, people []hub.Person) hub.Message {
	here := make([]person, len(people))
	for i, p := range people {
		here[i] = person{p.Key, string(p.Value)}
	}
	return hub.JSON(map[string]any{"here": here})
}

func changes(_ string, changes []hub.PresenceChange) hub.Message {
	list := make([]any, len(changes))
	for i, c := range changes {
		list[i] = map[string]any{"kind": c.Kind, "who": person{c.Key, string(c.Value)}}
	}
	return hub.JSON(map[string]any{"changes": list})
}

// A crowd is the members of three hubs.
type crowd struct {
	circle
	meters  []*meter
	members []*hub.Member
	seen    [nodes]atomic.Int64 // changes of which each node was told
	told    chan struct{}       // buffers one signal that seen has changed
}

// newCrowd returns a crowd that is in no room yet.
func (p plan) newCrowd(conns []*websocket.Conn, n network, set func(*hub.PresenceOptions)) (c *crowd, err error) {
	c = &crowd{told: make(chan struct{}, 1)}
	for i := range nodes {
		broker, err := n.node()
		if err != nil {
			return c, err
		}
		options := &hub.PresenceOptions{OnChange: func(hub.PresenceChange) { c.tell(i) }}
		set(options)
		c.meters = append(c.meters, &meter{fullBroker: broker})
		c.add(hub.Options{
			Broker: c.meters[i], Presence: options, WhenFull: hub.DropNewest, Queue: websocket.QueueLimit{Messages: 1, Bytes: -1},
		})
	}
	for i := range p.of(people) {
		m, err := c.hubs[i%nodes].Join(conns[i%len(conns)])
		if err == nil {
			err = m.SetKey(fmt.Sprintf("user-%05d", i))
		}
		if err == nil {
			err = m.SetPresence([]byte("online"))
		}
		if err != nil {
			return c, err
		}
		c.members = append(c.members, m)
	}
	return c, nil
}

// tell notes that a node was told of a change.
func (c *crowd) tell(node int) {
	c.seen[node].Add(1)
	select {
	case c.told <- struct{}{}:
	default:
	}
}

// until waits until each node has been told of some changes, and has a number of people.
func (c *crowd) until(ctx context.Context, changes int64, people int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, h := range c.hubs {
		for {
			n, err := h.CountPresent(ctx, peopleRoom)
			seen := c.seen[i].Load()
			if err == nil && n == people && seen >= changes {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("node %d has %d people, and was told of %d changes: want %d and %d: %w", i, n, seen, people, changes, err)
			}
			select {
			case <-c.told:
			case <-time.After(5 * time.Millisecond): // not all that happens is a change
			}
		}
	}
	return nil
}

// A turn is what members of a crowd do.
type turn struct {
	members []*hub.Member
	do      func(*hub.Member) error
	changes int64 // of which each node is told at least
	people  int   // who are there then
}

// take measures a turn, until all nodes know.
func (c *crowd) take(ctx context.Context, t turn) (cost, error) {
	before := c.published()
	for i := range c.seen {
		c.seen[i].Store(0)
	}
	cpu, err := timed(func() error {
		for _, m := range t.members {
			if err := t.do(m); err != nil {
				return err
			}
		}
		return c.until(ctx, t.changes, t.people)
	})
	return cost{operations: len(t.members), cpu: cpu, bytes: c.published() - before}, err
}

func (c *crowd) published() (bytes int64) {
	for _, m := range c.meters {
		bytes += m.bytes.Load()
	}
	return bytes
}

// visits measures people who enter, change their status and leave.
func (p plan) visits(ctx context.Context, s *site, n network, what string, set func(*hub.PresenceOptions)) (rows []row, err error) {
	conns, closeAll, err := s.dialSilent(ctx, 2*nodes)
	if err != nil {
		closeAll()
		return nil, err
	}
	c, err := p.newCrowd(conns, n, set)
	defer func() { closeAll(); err = errors.Join(err, c.close()) }()
	if err != nil {
		return nil, err
	}
	enter := func(m *hub.Member) error { return m.Join(peopleRoom) }
	leave := func(m *hub.Member) error { m.Leave(peopleRoom); return nil }
	statuses := 0
	setStatus := func(m *hub.Member) error {
		statuses++
		return m.SetPresence(fmt.Append(nil, "status ", statuses))
	}
	all := len(c.members)
	some := c.members[:p.of(updated)]
	var oneByOne []turn
	for _, m := range c.members[:p.of(told)] {
		oneByOne = append(oneByOne, turn{[]*hub.Member{m}, setStatus, 1, all})
	}
	name := func(step string) string { return fmt.Sprintf("%d people on three nodes, %s: %s", all, what, step) }
	return takeTurns(ctx, p.rounds, []way{
		{name: name("the first third enters"), each: "join", run: c.turns(turn{c.members[:all/3], enter, 0, all / 3})},
		{name: name("the second third enters"), each: "join", run: c.turns(turn{c.members[all/3 : 2*all/3], enter, 0, 2 * all / 3})},
		{name: name("the last third enters"), each: "join", run: c.turns(turn{c.members[2*all/3:], enter, 0, all})},
		{name: name(fmt.Sprintf("%d set their status at once", len(some))), each: "change", base: 3, run: c.turns(turn{some, setStatus, int64(len(some)), all})},
		{name: name(fmt.Sprintf("%d set it one after the other", len(oneByOne))), each: "change", base: 3, run: c.turns(oneByOne...)},
		{name: name("all leave"), each: "leave", base: 5, run: c.turns(turn{c.members, leave, 0, 0})},
	})
}

// turns returns a function that measures turns, one after the other.
func (c *crowd) turns(list ...turn) func(context.Context) (cost, error) {
	return func(ctx context.Context) (total cost, err error) {
		for _, t := range list {
			k, err := c.take(ctx, t)
			if err != nil {
				return total, err
			}
			total.operations += k.operations
			total.cpu += k.cpu
			total.bytes += k.bytes
		}
		return total, nil
	}
}
