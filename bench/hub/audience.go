package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

var text = hub.Text(strings.Repeat("x", 100))

const rooms = 50

// measureAudiences measures a message to members of one room, and of 50 rooms, from their own node and
// from another one.
func measureAudiences(ctx context.Context, p plan) (rows []row, err error) {
	for _, members := range []int{10, 100, 1000} {
		more, err := p.audiencesOf(ctx, members)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (p plan) audiencesOf(ctx context.Context, members int) (rows []row, err error) {
	s, err := newSite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	conns, err := s.dial(members)
	if err != nil {
		return nil, err
	}
	one, all := []hub.Target{hub.Room("lobby")}, make([]hub.Target, rooms)
	for i := range all {
		all[i] = hub.Room(room(i))
	}
	inLobby := func(int) []string { return []string{"lobby"} }
	inOne := func(member int) []string { return []string{room(member)} }
	inFive := func(member int) (names []string) {
		for i := range 5 {
			names = append(names, room(5*member+7*i))
		}
		return names
	}
	var c circle
	defer func() { err = errors.Join(err, c.close()) }()
	var ways []way
	for _, w := range []struct {
		name    string
		roomsOf func(int) []string
		to      []hub.Target
		remote  bool
	}{
		{"one room", inLobby, one, false},
		{"50 rooms, each member in one", inOne, all, false},
		{"50 rooms, each member in five", inFive, all, false},
		{"one room, from another node", inLobby, one, true},
		{"50 rooms, each member in five, from another node", inFive, all, true},
	} {
		sender, err := c.addMembers(conns, w.roomsOf, w.remote)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("A message to %d members: %s", members, w.name)
		ways = append(ways, way{name: name, each: "message", run: s.sends(sender.To(w.to...), members, p.of(30_000)/members)})
	}
	return takeTurns(ctx, p.rounds, ways)
}

func room(i int) string { return fmt.Sprint("room ", i%rooms) }

// addMembers makes a hub with members, and returns the hub that sends to them: the same or another node.
func (c *circle) addMembers(conns []*websocket.Conn, roomsOf func(int) []string, remote bool) (sender *hub.Hub, err error) {
	var h *hub.Hub
	if remote {
		var memory hub.Memory
		h, sender = c.add(hub.Options{Broker: memory.Node()}), c.add(hub.Options{Broker: memory.Node()})
	} else {
		h = c.add(hub.Options{})
		sender = h
	}
	for i, conn := range conns {
		if _, err := h.Join(conn, roomsOf(i)...); err != nil {
			return nil, err
		}
	}
	return sender, nil
}

// maxUnread is how many bytes a client may be behind.
const maxUnread = 10_000

// sends returns a function that sends messages to an audience with some members.
func (s *site) sends(to hub.Audience, members, messages int) func(context.Context) (cost, error) {
	messages = max(messages, 3)
	return func(context.Context) (cost, error) {
		cpu, err := timed(func() error {
			for sent := 0; sent < messages; {
				n := min(messages-sent, maxUnread/100)
				for range n {
					if err := to.Send(text); err != nil {
						return err
					}
				}
				if err := s.await(n * members); err != nil {
					return err
				}
				sent += n
			}
			return nil
		})
		return cost{operations: messages, cpu: cpu}, err
	}
}
