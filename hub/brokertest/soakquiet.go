package brokertest

import (
	"fmt"
	"slices"
	"time"
)

// soakSlack is what is allowed above a bound of the documentation while there are no faults. What follows from a
// second way to the same end, where the first one fails, takes longer.
const soakSlack = time.Second

// loseLast sends a message to a room in which nothing else is sent. It is lost on its way to all other nodes.
// loseLast expects that those who are in the room get it within a time, or are told that they have missed
// messages.
func (s *soak) loseLast(room string, bound time.Duration) {
	s.loses.Store(true)
	defer s.loses.Store(false)
	waiting := make(map[*soakSession]*soakStay)
	for _, p := range s.players {
		if session, stay := p.staying(room); stay != nil {
			waiting[session] = stay
		}
	}
	n := s.pick(s.random)
	m := soakMessage{From: lostMark}
	s.until(time.Now(), func() string {
		s.ends++
		m.Number = s.ends
		return s.sendFrom(n, room, m)
	})
	at := s.ledger.position(room, m)
	s.within(bound, time.Now(), func() string {
		for session, stay := range waiting {
			got := session.newest(room)
			if session.stay(room) == stay && (got.Epoch != at.Epoch || got.Offset < at.Offset) {
				return fmt.Sprintf("%s on %s has messages of %q until %v and not the last one, %v, which was lost on its way from %s",
					session.from, session.node.name, room, got, at, n.name)
			}
		}
		return ""
	})
}

// quiet expects of a network without faults what can be told from other ways only if nothing else happens.
func (s *soak) quiet() {
	s.late.worst.Store(0)
	for _, room := range soakKept {
		s.loseLast(room, 2*soakCheck+soakCall+soakSlack)
	}
	if !s.isBrief {
		s.part()
	}
}

// soakGuests is a room without players.
const soakGuests = "guests"

// part has three people go, each of whom is the only one of its node in the room. The first person leaves,
// and the message about it is lost. The node of the second dies. The node of the third is shut down. The
// other nodes learn of each within the bounds of the options.
func (s *soak) part() {
	hosts := []*soakNode{s.nodes[0], s.startNode(), s.startNode()}
	var guests, watchers []*soakSession
	defer func() {
		for _, session := range slices.Concat(guests, watchers) {
			if session != nil {
				session.close()
			}
		}
	}()
	for i, n := range s.nodes {
		watchers = append(watchers, s.visit(n, i, ""))
		guests = append(guests, s.visit(hosts[i], soakNodes+i, []string{lostMark, "dies", "is shut down"}[i]))
	}
	if s.failures.Load() > 0 {
		return
	}
	s.until(time.Now(), func() string {
		for _, g := range guests {
			if what := seenBy(watchers, g.key, true); what != "" {
				return what
			}
		}
		return ""
	})
	s.loses.Store(true)
	defer s.loses.Store(false)
	begun := time.Now()
	if err := guests[0].leave(soakGuests); err != nil {
		s.failf("%s leaves: %v", guests[0].from, err)
	}
	hosts[1].die()
	hosts[2].shutdown()
	for _, way := range []struct {
		guest *soakSession
		begun time.Time
		bound time.Duration
	}{
		{guests[2], time.Now(), soakGrace},
		{guests[1], begun, soakTTL * 5 / 4},
		{guests[0], begun, soakTTL * 5 / 2},
	} {
		s.within(way.bound+soakSlack, way.begun, func() string { return seenBy(watchers, way.guest.key, false) })
	}
}

// visit has somebody with a key, or none, join the room of guests on a node.
func (s *soak) visit(n *soakNode, number int, key string) *soakSession {
	p := newSoakPlayer(s, soakPlayers+number)
	p.key = key
	session, err := p.open(n)
	if err == nil {
		err = session.join(soakGuests)
	}
	if err != nil {
		s.failf("a guest of %s: %v", n.name, err)
	}
	return session
}

// seenBy says who of some sessions was not told that somebody is in the room of guests, or has left it.
func seenBy(watchers []*soakSession, key string, isThere bool) string {
	for _, w := range watchers {
		if _, ok := w.people(soakGuests)[key]; ok != isThere {
			return fmt.Sprintf("%s on %s: the guest who %q is seen: %t", w.from, w.node.name, key, ok)
		}
	}
	return ""
}
