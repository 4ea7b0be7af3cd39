package hub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// A distantBroker takes a while to subscribe, and to deliver what others publish, in order.
type distantBroker struct {
	hub.Broker
	subscribing, arriving queue
	delay                 func() time.Duration
}

// A queue calls functions one after the other, each after a delay.
type queue struct {
	mu      sync.Mutex
	waiting []func()
	running bool
	ended   sync.WaitGroup
}

func (q *queue) add(delay func() time.Duration, f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, f)
	if q.running {
		return
	}
	q.running = true
	q.ended.Go(func() {
		for {
			q.mu.Lock()
			if len(q.waiting) == 0 {
				q.running = false
				q.mu.Unlock()
				return
			}
			next := q.waiting[0]
			q.waiting = q.waiting[1:]
			q.mu.Unlock()
			time.Sleep(delay())
			next()
		}
	})
}

func (b *distantBroker) Open(receive func(hub.Topic, []byte)) {
	b.Broker.Open(func(t hub.Topic, payload []byte) {
		payload = append([]byte(nil), payload...)
		b.arriving.add(b.delay, func() { receive(t, payload) })
	})
}

func (b *distantBroker) Subscribe(t hub.Topic) error {
	b.subscribing.add(b.delay, func() { _ = b.Broker.Subscribe(t) })
	return nil
}

func (b *distantBroker) Unsubscribe(t hub.Topic) error {
	b.subscribing.add(b.delay, func() { _ = b.Broker.Unsubscribe(t) })
	return nil
}

func (b *distantBroker) AwaitSubscribed(ctx context.Context) error {
	done := make(chan struct{})
	b.subscribing.add(b.delay, func() { close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *distantBroker) Close() error {
	b.subscribing.ended.Wait()
	err := b.Broker.Close()
	b.arriving.ended.Wait()
	return err
}

// distantHubs returns two hubs that reach each other after random delays, of at most a second.
func distantHubs() (hubs [2]*hub.Hub) {
	var network hub.Memory
	for i := range hubs {
		delay := func() time.Duration { return time.Duration(rand.IntN(int(time.Second))) } //nolint:gosec // a test
		hubs[i] = hub.New(hub.Options{Broker: &distantBroker{Broker: network.Node(), delay: delay}})
	}
	return hubs
}

// When JoinContext has returned, nothing is missed that any node sends.
func TestJoinContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs := distantHubs()
		r := newRig(t, testws.Memory, websocket.Options{PingInterval: -1})
		client, member := r.join(hubs[0])
		other, second := r.join(hubs[0])
		for i := range 20 {
			room := fmt.Sprint("room ", i)
			require.NoError(t, member.JoinContext(t.Context(), room, "common"))
			require.NoError(t, hubs[1].To(hub.Room(room)).Send(hub.Text(room)))
			expect(t, client, room)
		}
		require.NoError(t, member.JoinContext(t.Context()), "no rooms")
		require.NoError(t, member.TakeKey(t.Context(), "ann", 4001, ""))
		require.NoError(t, hubs[1].To(hub.Key("ann")).Send(hub.Text("to ann")))
		expect(t, client, "to ann")

		require.NoError(t, second.Join("late"))
		require.NoError(t, hubs[1].To(hub.Room("late")).Send(hub.Text("too early"))) // Join does not wait
		time.Sleep(time.Minute)
		nothing(t, hubs[0], client, other)
		for _, h := range hubs {
			require.NoError(t, h.Shutdown(t.Context()))
		}
	})
}

// A JoinContext that does not succeed leaves the rooms again that the member was not in before.
func TestJoinContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs := distantHubs()
		r := newRig(t, testws.Memory, websocket.Options{PingInterval: -1})
		_, member := r.join(hubs[0], "before")
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Microsecond, cause)
		defer cancel()
		begun := time.Now()
		require.ErrorIs(t, member.JoinContext(ctx, "before", "after"), cause)
		assert.Equal(t, time.Microsecond, time.Since(begun))
		assert.Equal(t, []string{"before"}, member.Rooms())
		require.ErrorIs(t, member.TakeKey(ctx, "ann", 4001, ""), cause)
		assert.Empty(t, member.Key())
		require.ErrorContains(t, member.TakeKey(t.Context(), "", 4001, ""), "empty key")
		require.ErrorContains(t, member.TakeKey(t.Context(), "ann", 1005+1, ""), "1006")

		go func() { _ = member.Conn().Close(4002, "over") }()
		err := member.JoinContext(t.Context(), "after")
		assert.Equal(t, 4002, websocket.CloseStatus(err), "%v", err)
		time.Sleep(time.Minute)
		for _, h := range hubs {
			require.NoError(t, h.Shutdown(t.Context()))
		}
	})
}

// A member that takes a key is the only one that has it, on all nodes, also if many take it at the
// same time.
func TestNewestSessionWins(t *testing.T) {
	const users = 100
	synctest.Test(t, func(t *testing.T) {
		hubs := distantHubs()
		r := newRig(t, testws.Memory, websocket.Options{PingInterval: -1})
		var members [][]*hub.Member
		for range users {
			var sessions []*hub.Member
			for i := range 4 { // two on each node
				client, member := r.join(hubs[i%2])
				go testws.Drain(client)
				sessions = append(sessions, member)
			}
			members = append(members, sessions)
		}
		for user, sessions := range members { // of every third user, one session was there before
			if user%3 == 0 {
				require.NoError(t, sessions[0].SetKey(fmt.Sprint("user ", user)))
			}
		}
		time.Sleep(time.Hour)
		var taking sync.WaitGroup
		for user, sessions := range members {
			for _, member := range sessions[1:] {
				taking.Go(func() {
					if user%2 == 0 {
						time.Sleep(time.Duration(rand.IntN(int(time.Second)))) //nolint:gosec // a test
					}
					_ = member.TakeKey(t.Context(), fmt.Sprint("user ", user), 4001, "elsewhere") // the loser's error
				})
			}
		}
		taking.Wait()
		time.Sleep(time.Hour)
		for user := range members {
			key := fmt.Sprint("user ", user)
			assert.Equal(t, 1, len(hubs[0].WithKey(key))+len(hubs[1].WithKey(key)), key)
		}
		for user, sessions := range members { // the newest one wins
			time.Sleep(time.Second)
			client, newest := r.join(hubs[user%2])
			go testws.Drain(client)
			key := fmt.Sprint("user ", user)
			require.NoError(t, newest.TakeKey(t.Context(), key, 4001, "elsewhere"))
			time.Sleep(time.Minute)
			assert.Equal(t, []*hub.Member{newest}, append(hubs[0].WithKey(key), hubs[1].WithKey(key)...))
			for _, member := range sessions[1:] {
				require.Equal(t, 4001, websocket.CloseStatus(context.Cause(member.Conn().Context())))
			}
		}
		for _, h := range hubs {
			require.NoError(t, h.Shutdown(t.Context()))
		}
	})
}

// An unwillingBroker refuses to subscribe to a topic.
type unwillingBroker struct {
	*distantBroker
	refused hub.Topic
}

var errUnwilling = errors.New("no such topic here")

func (b *unwillingBroker) Subscribe(t hub.Topic) error {
	if t == b.refused {
		return errUnwilling
	}
	return b.distantBroker.Subscribe(t)
}

// A member that fails to take another key still has taken the one that it has: an older claim of
// another node, which arrives late, does not win.
func TestTakenKeyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		var hubs [2]*hub.Hub
		for i := range hubs {
			distant := &distantBroker{Broker: network.Node(), delay: func() time.Duration { return time.Second }}
			hubs[i] = hub.New(hub.Options{Broker: &unwillingBroker{distantBroker: distant, refused: hub.Key("bob")}})
		}
		r := newRig(t, testws.Memory, websocket.Options{PingInterval: -1})
		older, second := r.join(hubs[1])
		go testws.Drain(older)
		newer, first := r.join(hubs[0])
		go testws.Drain(newer)
		time.Sleep(time.Minute)
		var taking sync.WaitGroup
		taking.Go(func() { _ = second.TakeKey(t.Context(), "ann", 4001, "newest") }) // it loses
		time.Sleep(time.Millisecond)
		require.NoError(t, first.TakeKey(t.Context(), "ann", 4001, "newest"))
		require.ErrorIs(t, first.TakeKey(t.Context(), "bob", 4001, "newest"), errUnwilling)
		taking.Wait()
		time.Sleep(time.Minute)
		assert.Equal(t, []*hub.Member{first}, hubs[0].WithKey("ann"))
		assert.Empty(t, hubs[1].WithKey("ann"))
		for _, h := range hubs {
			require.NoError(t, h.Shutdown(t.Context()))
		}
	})
}
