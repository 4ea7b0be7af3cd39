package hub_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A log checks the messages of one client: those of each publisher to a room arrive in order and
// once, and none arrives from a room that the member has left.
type log struct {
	last map[string]int  // by publisher and room
	left map[string]bool // rooms
}

func (l *log) check(text string) error {
	if room, ok := strings.CutPrefix(text, "left "); ok {
		l.left[room] = true
		return nil
	}
	if room, ok := strings.CutPrefix(text, "joining "); ok {
		l.left[room] = false
		return nil
	}
	var publisher, room string
	var n int
	if _, err := fmt.Sscan(text, &publisher, &room, &n); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	last := l.last[publisher+room]
	l.last[publisher+room] = n
	switch {
	case n <= last:
		return fmt.Errorf("%q came after %d", text, last)
	case l.left[room]:
		return fmt.Errorf("%q came after Leave", text)
	}
	return nil
}

// Two thousand members join and leave fifty rooms; some read slowly or not at all, some disconnect.
// The others receive all their messages, and the hub is empty at the end.
func TestRandom(t *testing.T) {
	const members, rooms, publishers, each, movers = 2000, 50, 8, 40, 4
	r := newRig(t, testws.TCP, websocket.Options{CloseTimeout: time.Second, PingInterval: -1}) // a ping is no message
	h := hub.New(hub.Options{Queue: websocket.QueueLimit{Messages: 64, Bytes: 8 << 20}})
	large := hub.Binary(make([]byte, 4<<20))
	var got atomic.Int64
	var reading, running sync.WaitGroup
	all := make([]*hub.Member, members)
	for i := range all {
		client, conn := r.connectRaw()
		var err error
		all[i], err = h.Join(conn, fmt.Sprint("room", i%rooms), fmt.Sprint("room", i*7%rooms))
		require.NoError(t, err)
		switch i % 100 {
		case 0: // never reads
			running.Go(func() {
				for all[i].Send(large) == nil { //nolint:revive // until the queue is full
				}
			})
			continue
		case 1:
			running.Go(func() {
				_, _ = client.Receive()
				_ = client.Close()
			})
			continue
		}
		reading.Go(func() {
			l := log{last: make(map[string]int), left: make(map[string]bool)}
			for {
				f, err := client.Receive()
				if err != nil || f.Opcode == wstest.OpClose {
					client.Close() //nolint:errcheck // it is the end
					return
				}
				got.Add(1)
				if !assert.NoError(t, l.check(string(f.Payload))) {
					return
				}
			}
		})
	}

	room := func(r *rand.Rand) string { return fmt.Sprint("room", r.IntN(rooms)) }
	for i := range movers {
		mine := all[i*members/movers : (i+1)*members/movers]
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // a test can be repeated
			for range mine {
				m, name := mine[random.IntN(len(mine))], room(random)
				if !slices.Contains(m.Rooms(), name) {
					_ = m.Send(hub.Text("joining " + name)) // some connections have ended
					_ = m.Join(name)
				} else {
					m.Leave(name)
					_ = m.Send(hub.Text("left " + name))
				}
				if left := m.Rooms(); len(left) > 4 {
					m.Leave(left[0])
					_ = m.Send(hub.Text("left " + left[0]))
				}
			}
		})
	}
	for i := range publishers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(i))) //nolint:gosec // a test can be repeated
			for n := range each {
				name := room(random)
				assert.NoError(t, h.To(hub.Room(name)).Send(hub.Text(fmt.Sprintf("publisher%d %s %d", i, name, n+1))))
			}
		})
	}
	running.Wait()
	require.NoError(t, h.Shutdown(t.Context()))
	reading.Wait()
	stats := h.Stats()
	t.Logf("%d messages arrived; %+v", got.Load(), stats)
	assert.Greater(t, got.Load(), int64(publishers*each*members/rooms))
	assert.EqualValues(t, members/100, stats.Disconnected, "those that hang")
	assert.Zero(t, stats.Members+stats.Rooms+stats.Keys)
	eventually(t, func() bool { return r.upgrader.Stats().Open == 0 })
}

// A publisher does not wait for clients that never read. The other members are in both rooms, and
// the test measures the rooms in turn, so that other load on the machine slows down both. It may slow
// down one of them more, but not each time.
func TestHangingReadersCostNothing(t *testing.T) {
	r := newRig(t, testws.TCP, websocket.Options{WriteTimeout: time.Hour, PingInterval: -1})
	h := hub.New(hub.Options{Queue: websocket.QueueLimit{Messages: 4, Bytes: 32 << 20}, WhenFull: hub.DropNewest})
	for range 150 {
		client, _ := r.join(h, "lively", "hanging")
		go testws.Drain(client)
	}
	for range 2 { // 1 %
		_, conn := r.connectRaw()
		member, err := h.Join(conn, "hanging")
		require.NoError(t, err)
		for member.Send(hub.Binary(make([]byte, 4<<20))) == nil { //nolint:revive // until the queue is full
		}
	}
	var without, with time.Duration
	for range 5 {
		medians := broadcast(t, h, "lively", "hanging")
		without, with = medians["lively"], medians["hanging"]
		t.Logf("the median of a broadcast: %v, with hanging readers %v", without, with)
		if with < 2*without {
			break
		}
	}
	assert.Less(t, with, 2*without)
}

// broadcast sends messages to the rooms in turn. It returns the median of the time that one took, of
// each room.
func broadcast(t *testing.T, h *hub.Hub, rooms ...string) map[string]time.Duration {
	t.Helper()
	took, medians := map[string][]time.Duration{}, map[string]time.Duration{}
	for range 101 {
		for _, room := range rooms {
			begun := time.Now()
			require.NoError(t, h.To(hub.Room(room)).Send(hub.Text("hello")))
			took[room] = append(took[room], time.Since(begun))
		}
	}
	for room, all := range took {
		slices.Sort(all)
		medians[room] = all[len(all)/2]
	}
	return medians
}
