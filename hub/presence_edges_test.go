package hub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plainBroker is no PresenceBroker.
type plainBroker struct{ hub.Broker }

// unableBroker is a PresenceBroker that keeps no presence, because of how it is set up.
type unableBroker struct{ hub.PresenceBroker }

func (unableBroker) RenewNode(context.Context, string, time.Duration) (hub.Lease, error) {
	return hub.Lease{}, hub.ErrNoPresence
}

// Without presence, or a broker that keeps it, joining works and the calls for presence fail.
func TestNoPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		r := newRig(t, testws.Memory, websocket.Options{PingInterval: -1})
		for _, options := range []hub.Options{
			{},
			{Broker: network.Node()},
			{Broker: plainBroker{network.Node()}, Presence: tellAll()},
			{Broker: unableBroker{network.Node().(hub.PresenceBroker)}, Presence: tellAll()}, //nolint:errcheck // it is
		} {
			h := hub.New(options)
			client, member := r.join(h, "x")
			require.NoError(t, member.SetKey("ann"))
			sleep(time.Minute)
			require.ErrorIs(t, member.SetPresence(nil), hub.ErrNoPresence)
			_, err := h.Present(t.Context(), "x")
			require.ErrorIs(t, err, hub.ErrNoPresence)
			_, err = h.CountPresent(t.Context(), "x")
			require.ErrorIs(t, err, hub.ErrNoPresence)
			nothing(t, h, client)
			require.NoError(t, h.Shutdown(t.Context()))
		}
	})
}

func TestErrorsOfSetPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, func() *hub.PresenceOptions { return &hub.PresenceOptions{MaxValue: 3} })
		_, m := s.enter(0, "", "x")
		require.ErrorContains(t, m.SetPresence(nil), "without a key")
		require.NoError(t, m.SetKey("ann"))
		require.ErrorContains(t, m.SetPresence([]byte("long")), "value of 4 bytes")
		value := []byte("abc")
		require.NoError(t, m.SetPresence(value))
		value[0] = 'x'
		synctest.Wait()
		s.expectPresent(1, "x", map[string]string{"ann": "abc"})
		require.NoError(t, m.SetPresence(nil))
		synctest.Wait()
		people, err := s.hubs[1].Present(t.Context(), "x")
		require.NoError(t, err)
		require.Equal(t, []hub.Person{{Key: "ann"}}, people)
		require.NoError(t, m.Conn().Close(4000, ""))
		require.Error(t, m.SetPresence(nil))
		s.brokers[1].set(func() { s.brokers[1].cut = true })
		_, err = s.hubs[1].Present(t.Context(), "x")
		require.ErrorIs(t, err, errFault)
	})
}

// Rooms says which rooms have presence. A panic of a function of the application is logged, and the
// rest goes on.
func TestRoomsWithPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := tellAll()
		options.Rooms = func(room string) bool {
			if room == "bad" {
				panic("rooms")
			}
			return room != "quiet"
		}
		list, changes := options.List, options.Changes
		options.List = func(room string, people []hub.Person) hub.Message {
			if room == "panics" {
				panic("list")
			}
			return list(room, people)
		}
		options.Changes = func(room string, c []hub.PresenceChange) hub.Message {
			if room == "panics" {
				panic("changes")
			}
			return changes(room, c)
		}
		options.OnChange = func(hub.PresenceChange) { panic("change") }
		s := newScene(t, 1, func() *hub.PresenceOptions { return options })
		ann, _ := s.enter(0, "ann", "quiet", "bad", "panics")
		synctest.Wait()
		s.enter(0, "bob", "quiet", "bad", "panics", "x")
		synctest.Wait()
		assert.Empty(t, view(t, ann))
		s.expectPresent(0, "quiet", people())
		s.expectPresent(0, "bad", people())
		s.expectPresent(0, "panics", people("ann", "bob"))
		s.expectPresent(0, "x", people("bob"))
	})
}

// OnChange is told of what changes in rooms with members on the node, in order with what the Observer
// is told.
func TestOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		told := make([][]string, 2)
		nodes := 0
		s := newScene(t, 2, func() *hub.PresenceOptions {
			node := nodes
			nodes++
			return &hub.PresenceOptions{OnChange: func(c hub.PresenceChange) {
				mu.Lock()
				defer mu.Unlock()
				told[node] = append(told[node], c.Kind.String()+" "+c.Room+" "+c.Key+" "+string(c.Value))
			}}
		})
		_, a := s.enter(0, "ann", "x")
		synctest.Wait()
		_, b := s.enter(1, "bob", "x")
		synctest.Wait()
		require.NoError(t, a.SetPresence([]byte("away")))
		synctest.Wait()
		b.Leave("x")
		synctest.Wait()
		require.NoError(t, a.Conn().CloseNow())
		sleep(presenceGrace)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []string{"joined x ann ", "joined x bob ", "updated x ann away", "left x bob ", "left x ann away"}, told[0])
		assert.Equal(t, []string{"joined x bob ", "updated x ann away", "left x bob "}, told[1][:3], "until its last member has left")
	})
}

// While OnChange is slow, what waits is bounded by the people that there are, and stays consistent.
func TestSlowOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, calls := map[string]string{}, 0
		proceed := make(chan struct{})
		s := newScene(t, 1, func() *hub.PresenceOptions {
			return &hub.PresenceOptions{OnChange: func(c hub.PresenceChange) {
				<-proceed
				calls++
				old, present := here[c.Key]
				assert.Equal(t, c.Kind != hub.PersonJoined, present)
				if c.Kind == hub.PersonLeft {
					delete(here, c.Key)
				} else {
					assert.False(t, present && c.Kind == hub.PersonJoined, old)
					here[c.Key] = string(c.Value)
				}
			}}
		})
		_, m := s.enter(0, "ann", "x")
		for i := range 3000 {
			switch i % 3 {
			case 0:
				m.Leave("x")
			case 1:
				require.NoError(t, m.Join("x"))
			default:
				require.NoError(t, m.SetPresence([]byte{byte('a' + i%7)}))
			}
			synctest.Wait()
		}
		require.NoError(t, m.Join("x"))
		require.NoError(t, m.SetPresence([]byte("last")))
		synctest.Wait()
		close(proceed)
		synctest.Wait()
		assert.Equal(t, map[string]string{"ann": "last"}, here)
		assert.Less(t, calls, 1100)
	})
}

// A silentBroker does not answer when it is asked for a list.
type silentBroker struct{ hub.PresenceBroker }

func (silentBroker) ListPresence(ctx context.Context, _ hub.Topic) ([]hub.NodePresence, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A broker that does not answer holds nobody up for more than five seconds.
func TestPresentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		broker := silentBroker{network.Node().(hub.PresenceBroker)} //nolint:errcheck // it is
		h := hub.New(hub.Options{Broker: broker, Presence: tellAll()})
		begun := time.Now()
		_, err := h.Present(context.Background(), "x")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = h.CountPresent(context.Background(), "x")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 10*time.Second, time.Since(begun))
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// A node is subscribed to a room as long as it needs to be, and no longer, and puts nothing more then.
func TestRoomEndsOnNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		topics := &subscriptions{PresenceBroker: s.network.Node().(hub.PresenceBroker)} //nolint:errcheck // it is
		h := hub.New(hub.Options{Broker: topics, Presence: tellAll()})
		s.hubs = append(s.hubs, h)
		_, a := s.enter(2, "ann", "x", "y")
		synctest.Wait()
		a.Leave("y")
		synctest.Wait()
		assert.Equal(t, []string{"ann", "x"}, topics.names())
		require.NoError(t, a.Conn().CloseNow())
		sleep(presenceGrace - 1)
		assert.Equal(t, []string{"x"}, topics.names())
		_, a = s.enter(2, "ann", "x") // again, within the grace
		sleep(2 * presenceGrace)
		assert.Equal(t, []string{"ann", "x"}, topics.names())
		require.NoError(t, a.Conn().CloseNow())
		sleep(presenceGrace)
		assert.Empty(t, topics.names())
		sleep(time.Hour)
		lease, err := s.brokers[0].RenewNode(t.Context(), "another", time.Second)
		require.NoError(t, err)
		assert.Equal(t, []string{"another"}, lease.Nodes, "nobody is anywhere, so no node keeps a lease")
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

type subscriptions struct {
	hub.PresenceBroker
	mu     sync.Mutex
	topics []string
}

func (b *subscriptions) Subscribe(t hub.Topic) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.Kind != hub.KindNode {
		b.topics = append(b.topics, t.Name)
	}
	return b.PresenceBroker.Subscribe(t)
}

func (b *subscriptions) Unsubscribe(t hub.Topic) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.topics, t.Name); i >= 0 {
		b.topics = slices.Delete(b.topics, i, i+1)
	}
	return b.PresenceBroker.Unsubscribe(t)
}

func (b *subscriptions) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(slices.Values(b.topics))
}

// While the broker is away for long, nothing is kept of who comes and goes, and no room either.
func TestNothingIsKeptWhileBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, tellAll)
		topics := &subscriptions{PresenceBroker: s.network.Node().(hub.PresenceBroker)} //nolint:errcheck // it is
		away := &unreliableBroker{PresenceBroker: topics, calls: map[string]int{}}
		h := hub.New(hub.Options{Broker: away, Presence: tellAll()})
		s.hubs = append(s.hubs, h)
		_, m := s.enter(1, "ann", "x")
		sleep(time.Minute)
		away.set(func() { away.cut = true })
		for _, room := range numbers("room ", 100) {
			require.NoError(t, m.Join(room))
			sleep(time.Second)
			m.Leave(room)
		}
		sleep(time.Minute)
		assert.Equal(t, []string{"ann", "x"}, topics.names())
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// A shutdown whose context has ended does not fail because of presence, unless a call hangs.
func TestShutdownAtOnceWithPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 {
			var network hub.Memory
			h := hub.New(hub.Options{Broker: network.Node(), Presence: tellAll()})
			s := &scene{rig: newRig(t, testws.Memory, websocket.Options{PingInterval: -1}), t: t, hubs: []*hub.Hub{h}}
			_, m := s.enter(0, "ann", "x")
			synctest.Wait()
			require.NoError(t, m.Conn().CloseNow())
			synctest.Wait()
			require.NoError(t, h.Shutdown(ended))
		}
		proceed := make(chan struct{})
		h := hub.New(hub.Options{Presence: &hub.PresenceOptions{
			Changes: func(string, []hub.PresenceChange) hub.Message { <-proceed; return hub.Message{} },
		}})
		s := &scene{rig: newRig(t, testws.Memory, websocket.Options{PingInterval: -1}), t: t, hubs: []*hub.Hub{h}}
		_, m := s.enter(0, "ann", "x")
		synctest.Wait()
		require.NoError(t, m.SetPresence([]byte("busy")))
		require.NoError(t, m.Conn().CloseNow())
		synctest.Wait()
		begun := time.Now()
		require.ErrorIs(t, h.Shutdown(ended), context.Canceled)
		require.Equal(t, time.Second, time.Since(begun))
		close(proceed)
	})
}

// The newest session of a user takes the place of the other one, and the room is told of nothing.
func TestTakeKeyWithPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		synctest.Wait()
		_, old := s.enter(0, "bob", "x")
		synctest.Wait()
		for i := range 4 {
			_, member := s.join(s.hubs[i%2])
			require.NoError(t, member.TakeKey(t.Context(), "bob", 4001, "elsewhere"))
			require.NoError(t, member.Join("x"))
			sleep(2 * presenceGrace)
			require.Error(t, old.Conn().Context().Err())
			old = member
		}
		assert.Equal(t, []string{"joined bob"}, changesIn(t, ann, "x"))
	})
}

// Nor if a node lists a room while the broker lacks a node that lives.
func TestListThatLacksNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 3, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		synctest.Wait()
		s.enter(1, "bob", "x")
		_, m := s.enter(2, "cid", "x")
		sleep(lossBound + time.Second)
		list, err := s.brokers[0].ListPresence(t.Context(), hub.Room("x"))
		require.NoError(t, err)
		for _, np := range list {
			if np.Entries[0].Key == "bob" {
				require.NoError(t, s.brokers[0].RemoveNode(t.Context(), np.Node))
			}
		}
		for i, loses := range []bool{true, false} { // the second one shows that one is missing
			s.brokers[2].set(func() { s.brokers[2].loses = loses })
			require.NoError(t, m.SetPresence([]byte{byte('a' + i)}))
			synctest.Wait()
		}
		expectView(t, ann, "x", map[string]string{"ann": "", "bob": "", "cid": "b"})
		sleep(lossBound)
		assert.NotContains(t, changesIn(t, ann, "x"), "left bob")
		s.expectPresent(2, "x", map[string]string{"ann": "", "bob": "", "cid": "b"})
	})
}

// A node puts right what a broker has of it that is not so, as after a loss of the last writes.
func TestBrokerThatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		_, b := s.enter(1, "bob", "x")
		s.enter(1, "cid", "x")
		require.NoError(t, b.SetPresence([]byte("here")))
		sleep(lossBound)
		want := map[string]string{"ann": "", "bob": "here", "cid": ""}
		expectView(t, ann, "x", want)
		for _, revision := range []uint64{1, 1000} { // older than what the node has put, and newer
			list, err := s.brokers[0].ListPresence(t.Context(), hub.Room("x"))
			require.NoError(t, err)
			for _, np := range list {
				if len(np.Entries) < 2 {
					continue
				}
				changes := []hub.PresenceEntry{{Key: "bob"}, {Key: "ghost", Value: np.Entries[0].Value}}
				lease := s.network.Node().(hub.PresenceBroker) //nolint:errcheck // it is
				require.NoError(t, lease.RemoveNode(t.Context(), np.Node))
				_, err := lease.RenewNode(t.Context(), np.Node, presenceTTL)
				require.NoError(t, err)
				require.NoError(t, lease.PutPresence(t.Context(), hub.Room("x"), np.Node, revision, changes))
			}
			sleep(lossBound + presenceTTL)
			expectView(t, ann, "x", want)
			s.expectPresent(1, "x", want)
			list, err = s.brokers[0].ListPresence(t.Context(), hub.Room("x"))
			require.NoError(t, err)
			keys := map[string]bool{}
			for _, np := range list {
				for _, e := range np.Entries {
					keys[e.Key] = true
				}
			}
			assert.Equal(t, map[string]bool{"ann": true, "bob": true, "cid": true}, keys, "after revision %d", revision)
		}
	})
}

// What is published while a list is on its way is not lost.
func TestListThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		s.enter(1, "bob", "x")
		synctest.Wait()
		s.brokers[0].set(func() { s.brokers[0].late = time.Second })
		ann, _ := s.enter(0, "ann", "x")
		sleep(time.Second / 2)
		s.enter(1, "cid", "x")
		sleep(time.Second/2 - 1)
		assert.Empty(t, view(t, ann))
		sleep(1)
		expectView(t, ann, "x", people("ann", "bob", "cid"))
	})
}

// The same holds if a node puts so much again that others see a part of it.
func TestBrokerThatForgetsMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 3, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		_, zed := s.enter(2, "zed", "x")
		want := map[string]string{"ann": "", "zed": ""}
		var last *hub.Member
		for _, key := range numbers("user ", 300) {
			_, last = s.enter(1, key, "x")
			value := strings.Repeat(key, 100)
			want[key] = value
			require.NoError(t, last.SetPresence([]byte(value)))
		}
		sleep(lossBound)
		expectView(t, ann, "x", want)

		s.brokers[1].set(func() { s.brokers[1].loses, s.brokers[1].slow = true, 2*time.Second })
		lease, err := s.network.Node().(hub.PresenceBroker).RenewNode(t.Context(), "another", time.Second) //nolint:errcheck // it is
		require.NoError(t, err)
		for _, node := range lease.Nodes {
			require.NoError(t, s.brokers[0].RemoveNode(t.Context(), node))
		}
		for i := range 60 { // each second change that is lost makes the others list the room
			s.brokers[2].set(func() { s.brokers[2].loses = i%2 == 0 })
			require.NoError(t, zed.SetPresence([]byte(fmt.Sprint(i))))
			sleep(300 * time.Millisecond)
		}
		want["zed"] = "59"
		sleep(10 * presenceTTL)
		for _, change := range changesIn(t, ann, "x") {
			require.NotContains(t, change, "left")
		}
		assert.NoError(t, last.SetKey("another"))
		want["another"] = ""
		delete(want, "user 299")
		s.brokers[1].set(func() { s.brokers[1].slow = 0 })
		sleep(3 * presenceTTL)
		expectView(t, ann, "x", want)
	})
}

// A room of many people gives each that enters a list and the changes since, and makes few lists.
func TestListsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := 0
		var mu sync.Mutex
		options := tellAll()
		list := options.List
		options.List = func(room string, people []hub.Person) hub.Message {
			mu.Lock()
			lists++
			mu.Unlock()
			return list(room, people)
		}
		h := hub.New(hub.Options{Presence: options})
		s := &scene{rig: newRig(t, testws.Memory, websocket.Options{PingInterval: -1}), t: t, hubs: []*hub.Hub{h}}
		var clients []*wstest.Client
		want := map[string]string{}
		for i := range 300 {
			key := numbers("user ", 300)[i]
			want[key] = ""
			client, _ := s.enter(0, key, "x")
			clients = append(clients, client)
			synctest.Wait()
		}
		for _, client := range clients {
			expectView(t, client, "x", want)
		}
		assert.Less(t, lists, 60)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// A member that has no room for the list of people gets no changes of it, either: it is too slow.
func TestListThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 40 << 10
		presence := tellAll()
		presence.List = func(string, []hub.Person) hub.Message { return hub.Binary(make([]byte, size)) }
		h := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: size * 3 / 2}, Presence: presence})
		r := newRig(t, testws.Memory, websocket.Options{})
		for _, key := range []string{"ann", "bob"} { // bob's change follows the list
			client, member := r.join(h)
			require.NoError(t, member.SetKey(key))
			require.NoError(t, member.Join("x"))
			client.ExpectBinary(make([]byte, size))
			synctest.Wait()
		}
		client, member := r.joinSlow(h)
		require.NoError(t, member.Send(hub.Binary(make([]byte, size))))
		require.NoError(t, member.Join("x"))
		synctest.Wait()
		client.ExpectBinary(make([]byte, size))
		client.ExpectClose(websocket.CloseTryAgainLater, "too slow")
		require.EqualValues(t, 1, h.Stats().Dropped)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}
