package hub_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/assert"
)

// check compares the received messages of the clients with the expected ones.
func (m *model) check() {
	slices.SortFunc(m.kicks, func(a, b kick) int { return cmp.Compare(a.at.call, b.at.call) })
	got := 0
	var missed [modelNodes]misses
	for _, p := range m.players {
		for _, k := range m.kicks {
			p.kick(k)
		}
		p.sort(m, &missed[p.node])
		for _, s := range p.spans {
			got += len(s.got)
			m.checkSpan(p, s)
		}
	}
	for _, p := range m.players {
		for _, other := range m.players {
			if p.node == other.node {
				m.checkOrder(p, other)
			}
		}
	}
	m.t.Logf("seed %d: %d messages, %d of them arrived at clients", m.seed, len(m.messages), got)
	assert.Greater(m.t, got, len(m.messages))
	for i, node := range m.nodes {
		m.t.Logf("seed %d: node %d did not deliver %d: %+v", m.seed, i, node.missed, missed[i])
		assert.GreaterOrEqual(m.t, node.missed, missed[i].certain, "seed %d: node %d counts what clients miss", m.seed, i)
		assert.LessOrEqual(m.t, node.missed, missed[i].possible, "seed %d: node %d counts what clients miss", m.seed, i)
	}
}

// misses are the numbers of messages that clients did not get: of those that were certainly, and of
// those that were possibly for them.
type misses struct{ certain, possible int }

// mayMiss reports whether a player may miss a message: it did not fit into the queue, or a later one
// has replaced it.
func (m *model) mayMiss(p *player, message *modelMessage) bool {
	if m.drops(p.node) {
		return true
	}
	return message.latest != "" && slices.ContainsFunc(m.messages, func(later *modelMessage) bool {
		possibly, _ := m.audience(p, later)
		return later != message && later.latest == message.latest && possibly && later.at[p.node].ret > message.at[p.node].call
	})
}

func (m *model) fail(p *player, s *span, format string, args ...any) {
	m.t.Errorf("seed %d: player %d in %v, from %v to %v: %s", m.seed, p.name, s.topic, s.join, s.leave, fmt.Sprintf(format, args...))
}

// kick ends the player's spans that the kick may have affected: the player may have left from the
// beginning of the call on, and if the kick has certainly affected it, it has left at the end.
func (p *player) kick(k kick) {
	if k.node != p.node {
		return
	}
	possible, certain := k.all, k.all
	for _, s := range p.spans {
		if s.topic == (hub.Key(k.key)) {
			possible = possible || s.join.call < k.at.ret && k.at.call < s.leave.ret
			certain = certain || s.join.ret < k.at.call && k.at.ret < s.leave.call
		}
	}
	for _, s := range p.spans {
		if possible {
			s.leave.call = min(s.leave.call, k.at.call)
		}
		if certain {
			s.leave.ret = min(s.leave.ret, k.at.ret)
		}
	}
}

// holds reports whether the player was possibly, and whether it was certainly, in the span for the
// time of a message on its node.
func (s *span) holds(at interval) (possibly, certainly bool) {
	return at.ret >= s.join.call && at.call <= s.leave.ret, at.call > s.join.ret && at.ret < s.leave.call
}

// audience reports whether a message was possibly, and whether it was certainly, for a player.
func (m *model) audience(p *player, message *modelMessage) (possibly, certainly bool) {
	at := message.at[p.node]
	if at.call == 0 || len(p.spans) == 0 { // it did not arrive at the node
		return false, false
	}
	among := func(targets modelTargets) (possibly, certainly bool) {
		for _, s := range p.spans {
			if slices.Contains(targets.topics, s.topic) {
				some, all := s.holds(at)
				possibly, certainly = possibly || some, certainly || all
			}
		}
		return possibly, certainly
	}
	possibly, certainly = among(message.to)
	if slices.Contains(message.to.players, p) { // it is reached until the close frame
		_, alive := p.spans[0].holds(at)
		possibly, certainly = true, certainly || alive
	}
	if slices.Contains(message.except.players, p) {
		return false, false
	}
	perhapsOut, out := among(message.except)
	return possibly && !out, certainly && !perhapsOut && !p.rude
}

// sort checks the received messages of a player as a whole, and assigns them to its spans. It adds
// the messages that the player did not get.
func (p *player) sort(m *model, missed *misses) {
	left := make(map[string]int) // how many spans of a topic are over
	seen := make(map[int]bool)
	for _, text := range p.got {
		if topic, ok := strings.CutPrefix(text, "left "); ok {
			left[topic]++
			continue
		}
		id, err := strconv.Atoi(text)
		assert.NoError(m.t, err)
		message := m.messages[id]
		if possibly, _ := m.audience(p, message); !possibly {
			m.t.Errorf("seed %d: player %d got %d, which is not for it: %v", m.seed, p.name, id, message)
		}
		if seen[id] {
			m.t.Errorf("seed %d: player %d got %d twice", m.seed, p.name, id)
		}
		seen[id] = true
		if !p.assign(id, message, left) {
			m.t.Errorf("seed %d: player %d got %d, for which it has left: %v", m.seed, p.name, id, message)
		}
	}
	for id, message := range m.messages {
		possibly, certainly := m.audience(p, message)
		if possibly && !seen[id] {
			missed.possible++
		}
		if certainly && !seen[id] {
			missed.certain++
			if !m.mayMiss(p, message) {
				m.t.Errorf("seed %d: player %d did not get %d: %v", m.seed, p.name, id, message)
			}
		}
	}
}

// assign adds a message to the spans that it came by. It reports whether one of them, or the player
// itself, was what it was for.
func (p *player) assign(id int, message *modelMessage, left map[string]int) (ok bool) {
	ok = slices.Contains(message.to.players, p)
	nth := make(map[hub.Topic]int)
	for _, s := range p.spans {
		n := nth[s.topic]
		nth[s.topic]++
		if !slices.Contains(message.to.topics, s.topic) {
			continue
		}
		possibly, certainly := s.holds(message.at[p.node])
		// One with a key may be ahead of the mark, in the place of an earlier one.
		possibly = possibly && (n == left[mark(s.topic)] || message.latest != "" && n > left[mark(s.topic)])
		ok = ok || possibly
		if certainly || possibly && message.isSimple() && message.latest == "" {
			s.got = append(s.got, id)
		}
	}
	return ok
}

// isSimple reports whether a message was for one topic only.
func (message *modelMessage) isSimple() bool {
	return len(message.to.topics) == 1 && len(message.to.players) == 0
}

// checkSpan checks that what a player has received during a span came in the order of the calls. A
// message with a key may be early, but not ahead of an earlier one with the same key.
func (m *model) checkSpan(p *player, s *span) {
	last := make(map[string]int64) // by key
	for _, id := range s.got {
		message := m.messages[id]
		at := message.at[p.node]
		if at.ret < max(last[""], last[message.latest]) {
			m.fail(p, s, "%d came behind what was sent later", id)
		}
		last[message.latest] = max(last[message.latest], at.call)
	}
}

// checkOrder checks that two players have received their common messages to a topic in the same
// order and without gaps: between two common messages, both have received the same messages. Those
// with a key have other places.
func (m *model) checkOrder(p, other *player) {
	for _, a := range p.spans {
		for _, b := range other.spans {
			if a.topic != b.topic {
				continue
			}
			last, between := -1, []int(nil)
			for _, id := range b.got {
				at := slices.Index(a.got, id)
				switch {
				case m.messages[id].latest != "":
				case at < 0 && !m.drops(p.node) && m.messages[id].isFor(p):
					between = append(between, id)
				case at < 0:
				case at < last:
					m.fail(p, a, "%d came in another order to player %d", id, other.name)
				default:
					if last >= 0 && len(between) > 0 {
						m.fail(p, a, "%v did not come, but to player %d, as what was before and after", between, other.name)
					}
					last, between = at, nil
				}
			}
		}
	}
}

// isFor reports whether a message is for all members of its only topic at the moment, but perhaps
// for others.
func (message *modelMessage) isFor(p *player) bool {
	return message.isSimple() && len(message.except.topics) == 0 && !slices.Contains(message.except.players, p)
}
