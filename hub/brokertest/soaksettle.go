package brokertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// settle waits until all players are in their rooms for good, and know everything.
func (s *soak) settle() {
	begun := time.Now()
	s.calm.Store(true)
	s.late.worst.Store(0)
	s.until(begun, func() string {
		for _, p := range s.players {
			if p.lasting() == nil {
				return fmt.Sprintf("player %d is not in its rooms", p.number)
			}
		}
		return ""
	})
	s.sendEnds(begun)
	s.readAll(begun)
	truth := s.truth()
	s.until(begun, func() string {
		for _, n := range s.nodes {
			for _, room := range soakPlain {
				_ = s.sendEnd(n, room)
			}
		}
		return s.missing(truth)
	})
	s.settled = time.Since(begun)
	time.Sleep(200 * time.Millisecond)
	s.within(2*soakCall, time.Now(), func() string { return s.missing(truth) }) // a call may fail
}

// readAll reads what is kept, so that the ledger knows what is before what, and notes the newest positions.
func (s *soak) readAll(begun time.Time) {
	for _, room := range soakKept {
		s.until(begun, func() string {
			_, newest, err := s.nodes[0].hub.History(context.Background(), room, hub.Position{}, soakKeep)
			s.final[room] = newest
			return text(err)
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// until calls a function until it finds nothing that is missing, or soakBound has passed since begun.
func (s *soak) until(begun time.Time, missing func() string) {
	s.within(soakBound, begun, missing)
}

// within is until with another bound, to which it adds what this process is late.
func (s *soak) within(bound time.Duration, begun time.Time, missing func() string) {
	for s.failures.Load() == 0 {
		what := missing()
		if what == "" {
			return
		}
		if took := time.Since(begun); took > bound+s.late.allowance(bound) {
			s.failf("after %v, of at most %v: %s", took.Round(time.Millisecond), bound.Round(time.Millisecond), what)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// sendEnds sends a message of each node to each room with history.
func (s *soak) sendEnds(begun time.Time) {
	for _, n := range s.nodes {
		for _, room := range soakKept {
			s.until(begun, func() string { return s.sendEnd(n, room) })
		}
	}
}

// sendEnd sends a message of a node to a room.
func (s *soak) sendEnd(n *soakNode, room string) string {
	s.ends++
	return s.sendFrom(n, room, soakMessage{From: n.name, Number: s.ends})
}

// sendFrom sends a message from a node to a room.
func (s *soak) sendFrom(n *soakNode, room string, m soakMessage) string {
	err := n.hub.To(hub.Room(room)).Send(hub.JSON(soakFrame{Kind: frameMessage, Room: room, soakMessage: m}))
	if err != nil {
		return fmt.Sprintf("%s can't send to %q: %v", n.name, room, err)
	}
	if slices.Contains(soakKept, room) {
		s.ledger.acknowledge(room, m)
	}
	return ""
}

// truth returns who is in which room in the end.
func (s *soak) truth() map[string]map[string]string {
	truth := make(map[string]map[string]string)
	for _, room := range soakRooms {
		truth[room] = make(map[string]string)
		for _, p := range s.players {
			if slices.Contains(p.rooms(), room) {
				truth[room][p.key] = "the last of " + p.key
			}
		}
	}
	return truth
}

// missing says what somebody does not know, or returns the empty string.
func (s *soak) missing(truth map[string]map[string]string) string {
	for _, n := range s.nodes {
		for _, room := range soakRooms {
			if what := n.missing(room, truth[room]); what != "" {
				return what
			}
		}
	}
	for _, p := range s.players {
		session := p.lasting()
		if session == nil {
			return fmt.Sprintf("player %d is not in its rooms any more", p.number)
		}
		for _, room := range p.rooms() {
			if what := session.missing(room, truth[room]); what != "" {
				return fmt.Sprintf("%s on %s, in %q: %s", session.from, session.node.name, room, what)
			}
		}
	}
	return ""
}

func (n *soakNode) missing(room string, truth map[string]string) string {
	ctx, cancel := context.WithTimeout(context.Background(), soakCall)
	defer cancel()
	people, err := n.hub.Present(ctx, room)
	got := make(map[string]string)
	for _, p := range people {
		got[p.Key] = string(p.Value)
	}
	if err != nil || !maps.Equal(got, truth) {
		return fmt.Sprintf("%s has people %v in %q, want %v; error %v", n.name, got, room, truth, err)
	}
	return ""
}

func (s *soakSession) missing(room string, truth map[string]string) string {
	if got := s.people(room); !maps.Equal(got, truth) {
		return fmt.Sprintf("knows people %v, want %v", got, truth)
	}
	if slices.Contains(soakKept, room) {
		// A message of which Send has failed may be kept all the same, and come late.
		if got, want := s.newest(room), s.soak.final[room]; got.Epoch != want.Epoch || got.Offset < want.Offset {
			return fmt.Sprintf("has messages until %v, want %v", got, want)
		}
		return ""
	}
	for _, n := range s.soak.nodes {
		if !s.hasFrom(room, n.name) {
			return "has no message of " + n.name
		}
	}
	return ""
}
