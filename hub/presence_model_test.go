package hub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever happens, no client is told of a change that contradicts what it was told before, and once
// all nodes reach each other and the bounds have passed, every client and every node know the truth:
// who has a member in which room, with the value that was set last.
func TestPresenceModel(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newCrowdModel(t, seed).run() })
		})
	}
}

// A tab is a member that the model knows.
type tab struct {
	node   int
	client *wstest.Client
	member *hub.Member
	key    string
	rooms  map[string]bool
}

type crowdModel struct {
	*scene
	random *rand.Rand
	dead   map[int]bool
	tabs   []*tab
	values map[string]string // the last one of each key
	sets   int
}

var (
	crowdKeys  = []string{"", "ann", "bob", "cid", "dan", "eve"}
	crowdRooms = []string{"x", "y", "z"}
)

func newCrowdModel(t *testing.T, seed uint64) *crowdModel {
	options := func() *hub.PresenceOptions {
		o := tellAll()
		if seed%3 == 1 {
			o.Grace = -1
		}
		return o
	}
	m := &crowdModel{
		scene: newScene(t, 4, options), random: rand.New(rand.NewPCG(seed, 7)), dead: map[int]bool{}, values: map[string]string{},
	}
	if seed%2 == 1 {
		for _, b := range m.brokers {
			b.slow = 300 * time.Millisecond
		}
	}
	return m
}

func pick[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }

func (m *crowdModel) run() {
	for round := range 6 {
		for range 60 {
			m.step()
			switch m.random.IntN(4) {
			case 0:
				time.Sleep(time.Duration(m.random.Int64N(int64(3 * time.Second))))
			case 1:
				synctest.Wait()
			}
			m.faults()
		}
		if round == 3 {
			m.kill(3)
		}
		for _, node := range m.alive() {
			b := m.brokers[node]
			b.set(func() { b.cut, b.loses = false, false })
		}
		m.setAll()
		sleep(lossBound + presenceTTL + presenceGrace)
		m.check(round)
	}
}

// alive returns the nodes that have not been killed.
func (m *crowdModel) alive() (nodes []int) {
	for node := range m.hubs {
		if !m.dead[node] {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (m *crowdModel) faults() {
	b := m.brokers[pick(m.random, m.alive())]
	switch m.random.IntN(16) {
	case 0:
		b.set(func() { b.cut = true })
	case 1, 2, 3:
		b.set(func() { b.cut = false })
	case 4:
		b.set(func() { b.loses = true })
	case 5, 6:
		b.set(func() { b.loses = false })
	case 7: // the engine forgets everything
		if m.random.IntN(4) == 0 {
			lease, err := m.brokers[0].PresenceBroker.RenewNode(m.t.Context(), "another", time.Second)
			require.NoError(m.t, err)
			for _, node := range lease.Nodes {
				require.NoError(m.t, m.brokers[0].PresenceBroker.RemoveNode(m.t.Context(), node))
			}
		}
	}
}

func (m *crowdModel) kill(node int) {
	m.dead[node] = true
	m.brokers[node].set(func() { m.brokers[node].cut = true })
	var rest []*tab
	for _, tb := range m.tabs {
		if tb.node != node {
			rest = append(rest, tb)
		}
	}
	m.tabs = rest
}

func (m *crowdModel) step() {
	if len(m.tabs) < 4 || len(m.tabs) < 14 && m.random.IntN(4) == 0 {
		m.open(pick(m.random, m.alive()), pick(m.random, crowdKeys))
		return
	}
	i := m.random.IntN(len(m.tabs))
	tb := m.tabs[i]
	switch m.random.IntN(10) {
	case 0, 1, 2:
		room := pick(m.random, crowdRooms)
		require.NoError(m.t, tb.member.Join(room))
		tb.rooms[room] = true
	case 3, 4:
		room := pick(m.random, crowdRooms)
		tb.member.Leave(room)
		delete(tb.rooms, room)
	case 5:
		tb.key = pick(m.random, crowdKeys)
		require.NoError(m.t, tb.member.SetKey(tb.key))
	case 6, 7:
		m.set(tb)
	case 8:
		m.close(i)
	default: // load the page again, perhaps on another node
		m.close(i)
		time.Sleep(time.Duration(m.random.Int64N(int64(2 * presenceGrace))))
		again := m.open(pick(m.random, m.alive()), tb.key)
		for room := range tb.rooms {
			require.NoError(m.t, again.member.Join(room))
			again.rooms[room] = true
		}
	}
}

func (m *crowdModel) open(node int, key string) *tab {
	client, member := m.join(m.hubs[node])
	require.NoError(m.t, member.SetKey(key))
	tb := &tab{node: node, client: client, member: member, key: key, rooms: map[string]bool{}}
	m.tabs = append(m.tabs, tb)
	return tb
}

func (m *crowdModel) close(i int) {
	tb := m.tabs[i]
	m.tabs = append(m.tabs[:i:i], m.tabs[i+1:]...)
	require.NoError(m.t, tb.member.Conn().CloseNow())
}

func (m *crowdModel) set(tb *tab) {
	if tb.key == "" {
		require.Error(m.t, tb.member.SetPresence([]byte("nobody's")))
		return
	}
	m.sets++
	m.values[tb.key] = fmt.Sprint("value ", m.sets)
	require.NoError(m.t, tb.member.SetPresence([]byte(m.values[tb.key])))
}

// setAll sets a value of each person, while all nodes reach each other.
func (m *crowdModel) setAll() {
	sleep(presenceTTL / 2)
	done := map[string]bool{}
	for _, tb := range m.tabs {
		if !done[tb.key] {
			done[tb.key] = true
			m.set(tb)
		}
	}
	for _, b := range m.brokers { // from now on, what is told of rooms is lost
		b.set(func() { b.loses = m.random.IntN(3) == 0 })
	}
}

// truth returns who is in a room.
func (m *crowdModel) truth(room string) map[string]string {
	people := map[string]string{}
	for _, tb := range m.tabs {
		if tb.rooms[room] && tb.key != "" {
			people[tb.key] = m.values[tb.key]
		}
	}
	return people
}

func (m *crowdModel) check(round int) {
	m.t.Helper()
	for _, room := range crowdRooms {
		truth := m.truth(room)
		for _, node := range m.alive() {
			m.expectPresent(node, room, truth)
			people, err := m.hubs[node].Present(context.Background(), room)
			require.NoError(m.t, err)
			require.Len(m.t, people, len(truth))
		}
		for _, tb := range m.tabs {
			if tb.rooms[room] {
				got := view(m.t, tb.client)[room]
				require.Equal(m.t, truth, got, "round %d, a tab of %q on node %d, room %q", round, tb.key, tb.node, room)
			}
		}
	}
}

// The same holds if many members come, go and change at the same time.
func TestPresenceConcurrently(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			m := newCrowdModel(t, seed)
			var running sync.WaitGroup
			tabs := make([]*tab, 24)
			for i := range tabs {
				tb := m.open(i%4, crowdKeys[1+i%5])
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				running.Go(func() { tabs[i] = m.play(tb, random) })
			}
			running.Wait()
			m.tabs = tabs
			synctest.Wait()
			m.setAll()
			sleep(lossBound + presenceTTL + presenceGrace)
			m.check(0)
		})
	}
}

// play makes random calls of a tab, and returns the tab that takes its place in the end.
func (m *crowdModel) play(tb *tab, random *rand.Rand) *tab {
	for range 150 {
		room := pick(random, crowdRooms)
		switch random.IntN(8) {
		case 0, 1, 2:
			assert.NoError(m.t, tb.member.Join(room))
			tb.rooms[room] = true
		case 3, 4:
			tb.member.Leave(room)
			delete(tb.rooms, room)
		case 5:
			tb.key = pick(random, crowdKeys[1:])
			assert.NoError(m.t, tb.member.SetKey(tb.key))
		case 6:
			assert.NoError(m.t, tb.member.SetPresence([]byte(fmt.Sprint(random.IntN(1000)))))
		default:
			for _, h := range m.hubs {
				_, err := h.Present(m.t.Context(), room)
				assert.NoError(m.t, err)
			}
		}
		if random.IntN(5) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		}
	}
	return tb
}
