package hub_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A chronicle is what an Observer was told. It fails the test if that can't have happened.
type chronicle struct {
	t     *testing.T
	delay func()

	mu      sync.Mutex
	running bool
	names   map[*hub.Member]string
	lines   []string
	rooms   map[string]int // rooms that have begun, and their members
	members map[*hub.Member][]string
}

func newChronicle(t *testing.T) *chronicle {
	return &chronicle{
		t: t, delay: func() {}, names: make(map[*hub.Member]string),
		rooms: make(map[string]int), members: make(map[*hub.Member][]string),
	}
}

func (c *chronicle) observer() *hub.Observer {
	return &hub.Observer{
		Joined: func(m *hub.Member) {
			defer c.begin("%v joins", m)()
			assert.False(c.t, c.here(m))
			c.members[m] = nil
		},
		Left: func(m *hub.Member, key string, rooms []string) {
			defer c.begin("%v leaves, with key %q, %q", m, key, rooms)()
			had := slices.Sorted(slices.Values(c.members[m]))
			assert.Equal(c.t, had, rooms)
			for _, room := range rooms {
				c.rooms[room]--
			}
			assert.True(c.t, c.here(m))
			delete(c.members, m)
		},
		EnteredRoom: func(m *hub.Member, room string) {
			defer c.begin("%v enters %s", m, room)()
			assert.True(c.t, c.here(m))
			assert.Contains(c.t, c.rooms, room)
			assert.NotContains(c.t, c.members[m], room)
			c.members[m] = append(c.members[m], room)
			c.rooms[room]++
		},
		LeftRoom: func(m *hub.Member, room string) {
			defer c.begin("%v exits %s", m, room)()
			i := slices.Index(c.members[m], room)
			if assert.GreaterOrEqual(c.t, i, 0) {
				c.members[m] = slices.Delete(c.members[m], i, i+1)
			}
			c.rooms[room]--
		},
		RoomBegan: func(room string) {
			defer c.begin("%s begins", room)()
			assert.NotContains(c.t, c.rooms, room)
			c.rooms[room] = 0
		},
		RoomEnded: func(room string) {
			defer c.begin("%s ends", room)()
			assert.Contains(c.t, c.rooms, room)
			assert.Zero(c.t, c.rooms[room])
			delete(c.rooms, room)
		},
	}
}

// here reports whether a member has joined and not left. Assertions that compare members would read
// all of them.
func (c *chronicle) here(m *hub.Member) bool {
	_, ok := c.members[m]
	return ok
}

func (c *chronicle) begin(format string, args ...any) (end func()) {
	c.mu.Lock()
	assert.False(c.t, c.running, "two at once")
	c.running = true
	for i, arg := range args {
		if m, ok := arg.(*hub.Member); ok {
			args[i] = cmp.Or(c.names[m], m.ID())
		}
	}
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
	c.mu.Unlock()
	c.delay()
	c.mu.Lock()
	return func() {
		c.running = false
		c.mu.Unlock()
	}
}

// The Observer is told all that happens, in order, and may use the hub.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		var h *hub.Hub
		c.delay = func() { _ = h.Stats() }
		h = hub.New(hub.Options{Observer: c.observer()})
		r := newRig(t, testws.Memory, websocket.Options{PingInterval: -1})
		synctest.Wait()
		client, ann := r.join(h, "lobby")
		c.mu.Lock()
		c.names[ann] = "ann"
		c.mu.Unlock()
		_, bob := r.join(h)
		synctest.Wait()
		c.mu.Lock()
		c.names[bob], c.lines = "bob", nil
		c.mu.Unlock()

		require.NoError(t, h.To(bob).Join("lobby", "chess"))
		require.NoError(t, ann.SetKey("ann"))
		bob.Leave("chess", "lobby", "nowhere")
		require.NoError(t, ann.Join("chess", "lobby"))
		client.Close(websocket.CloseNormalClosure, "")
		synctest.Wait()
		require.NoError(t, bob.Join("lobby"))
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Equal(t, []string{
			"bob enters lobby",
			"chess begins", "bob enters chess",
			"bob exits chess", "chess ends",
			"bob exits lobby",
			"chess begins", "ann enters chess",
			`ann leaves, with key "ann", ["chess" "lobby"]`, "lobby ends", "chess ends",
			"lobby begins", "bob enters lobby",
			`bob leaves, with key "", ["lobby"]`, "lobby ends",
		}, c.lines)
		assert.Empty(t, c.members)
		assert.Empty(t, c.rooms)
	})
}

// However slow the Observer is, nobody waits for it, what waits for it is bounded, and what it is
// told is possible, and true at the end.
func TestSlowObserver(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		c := newChronicle(t)
		goOn := make(chan struct{})
		c.delay = func() { <-goOn }
		h := hub.New(hub.Options{Observer: c.observer()})
		r := newRig(t, n, websocket.Options{})
		_, stays := r.join(h)
		var moving sync.WaitGroup
		for i := range 8 {
			client, member := r.join(h)
			go testws.Drain(client)
			moving.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // a test can be repeated
				for range 2000 {
					room := fmt.Sprint("room ", random.IntN(5))
					if random.IntN(2) == 0 {
						assert.NoError(t, member.Join(room))
					} else {
						member.Leave(room)
					}
				}
				if i%2 == 0 {
					_ = member.Conn().Close(4000, "")
				}
			})
		}
		moving.Wait()
		for range 20 { // they come and go untold
			client, member := r.join(h, "a", "b")
			go testws.Drain(client)
			member.Leave("a")
			_ = member.Conn().Close(4000, "")
		}
		require.NoError(t, stays.Join("the end"))
		close(goOn)
		eventually(t, func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return slices.Contains(c.lines, stays.ID()+" enters the end")
		})
		c.mu.Lock()
		assert.Less(t, len(c.lines), 1024+100)
		assert.Len(t, c.members, 5)
		for m, rooms := range c.members {
			assert.Equal(t, m.Rooms(), slices.Sorted(slices.Values(rooms)))
		}
		var rooms []string
		for room := range c.rooms {
			rooms = append(rooms, room)
		}
		assert.ElementsMatch(t, h.Rooms(), rooms)
		c.mu.Unlock()
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Empty(t, c.members)
		assert.Empty(t, c.rooms)
	})
}

// A function that panics, or hangs, holds up nothing but itself, and Shutdown no longer than its
// context.
func TestObserverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		var rooms []string
		h := hub.New(hub.Options{Observer: &hub.Observer{
			Joined:    func(*hub.Member) { panic("oh") },
			RoomBegan: func(room string) { rooms = append(rooms, room) },
			Left:      func(*hub.Member, string, []string) { <-goOn },
		}})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, _ := r.join(h, "lobby")
		go testws.Drain(client)
		synctest.Wait()
		assert.Equal(t, []string{"lobby"}, rooms)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		require.ErrorIs(t, h.Shutdown(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(begun))
		close(goOn)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// A logger that panics does not end the process.
func TestLoggerPanics(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(brokenLogger{slog.DiscardHandler}))
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Observer: &hub.Observer{Joined: func(*hub.Member) { panic("oh") }}})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, _ := r.join(h)
		go testws.Drain(client)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

type brokenLogger struct{ slog.Handler }

func (brokenLogger) Enabled(context.Context, slog.Level) bool { panic("the logger is broken") }

// A hub without an Observer allocates nothing for it when members enter rooms.
func TestNoObserverCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.join(h)
		go testws.Drain(client)
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
			_ = member.Join("lobby")
			member.Leave("lobby")
		}), 6.0, "the group, the membership and the slices that have them")
		require.NoError(t, h.Shutdown(t.Context()))
	})
}
