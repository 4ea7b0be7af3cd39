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
	for _, p := range m.players {
		for _, k := range m.kicks {
			p.kick(k)
		}
		p.sort(m)
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
		if s.topic == (hub.Topic{Kind: hub.Key, Name: k.key}) {
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

// sort assigns each received message to its span.
func (p *player) sort(m *model) {
	left := make(map[string]int) // how many spans of a topic are over
	for _, text := range p.got {
		if topic, ok := strings.CutPrefix(text, "left "); ok {
			left[topic]++
			continue
		}
		id, err := strconv.Atoi(text)
		assert.NoError(m.t, err)
		topic := mark(m.messages[id].topic)
		n := left[topic]
		for _, s := range p.spans {
			if mark(s.topic) != topic {
				continue
			}
			if n == 0 {
				s.got = append(s.got, id)
			}
			n--
		}
		if n >= 0 {
			m.t.Errorf("seed %d: player %d got %d, to %v, in which it was not", m.seed, p.name, id, m.messages[id].topic)
		}
	}
}

// checkSpan checks that a player has received exactly the messages that were sent during a span, in
// the order of the calls.
func (m *model) checkSpan(p *player, s *span) {
	var last int64
	for i, id := range s.got {
		message := m.messages[id]
		at := message.at[p.node]
		switch {
		case at.ret < last:
			m.fail(p, s, "%d came behind what was sent later", id)
		case slices.Contains(s.got[:i], id):
			m.fail(p, s, "%d came twice", id)
		case at.call == 0 || at.ret < s.join.call || at.call > s.leave.ret:
			m.fail(p, s, "%d came, which was sent at %v", id, at)
		case message.except == p:
			m.fail(p, s, "%d came, which is for others", id)
		}
		last = max(last, at.call)
	}
	for id, message := range m.messages {
		at := message.at[p.node]
		must := message.topic == s.topic && message.except != p && !p.rude && at.call > s.join.ret && at.ret < s.leave.call
		if must && !slices.Contains(s.got, id) {
			m.fail(p, s, "%d did not come, which was sent at %v", id, at)
		}
	}
}

// checkOrder checks that two players have received their common messages in the same order and
// without gaps: between two common messages, both have received the same messages.
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
				case at < 0 && m.messages[id].except != p:
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
