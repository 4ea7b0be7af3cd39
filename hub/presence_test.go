package hub_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sleep lets time pass and all that happens meanwhile happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPresenceOnOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Presence: tellAll()})
		s := &scene{rig: newRig(t, testws.Memory, websocket.Options{PingInterval: -1}), t: t, hubs: []*hub.Hub{h}}
		ann, a := s.enter(0, "ann", "x")
		synctest.Wait()
		expectView(t, ann, "x", people("ann"))
		bob, b := s.enter(0, "bob", "x", "y")
		_, b2 := s.enter(0, "bob", "x")
		_, err := h.Join(b2.Conn()) // without a key
		require.NoError(t, err)
		synctest.Wait()
		expectView(t, ann, "x", people("ann", "bob"))
		expectView(t, bob, "x", people("ann", "bob"))
		expectView(t, bob, "y", people("bob"))
		assert.Equal(t, []string{"joined bob"}, changesIn(t, ann, "x"))
		require.NoError(t, b.SetPresence([]byte("away")))
		synctest.Wait()
		s.expectPresent(0, "x", map[string]string{"ann": "", "bob": "away"})
		s.expectPresent(0, "y", map[string]string{"bob": "away"})
		expectView(t, ann, "x", map[string]string{"ann": "", "bob": "away"})
		b.Leave("x")
		synctest.Wait()
		assert.Equal(t, []string{"joined bob", "updated bob"}, changesIn(t, ann, "x"))
		b2.Leave("x")
		synctest.Wait()
		expectView(t, ann, "x", people("ann"))
		require.NoError(t, b2.SetKey("cid"))
		require.NoError(t, b2.Join("x"))
		synctest.Wait()
		expectView(t, ann, "x", people("ann", "cid"))
		require.NoError(t, b2.SetKey("dan"))
		synctest.Wait()
		expectView(t, ann, "x", people("ann", "dan"))
		require.NoError(t, b2.SetKey(""))
		synctest.Wait()
		expectView(t, ann, "x", people("ann"))
		s.expectPresent(0, "nowhere", people())

		require.NoError(t, a.Conn().CloseNow())
		sleep(presenceGrace - 1)
		s.expectPresent(0, "x", people("ann"))
		sleep(1)
		s.expectPresent(0, "x", people())
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// A page that is loaded again within the grace is told of neither as gone nor as come, on whichever
// node.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		synctest.Wait()
		_, b := s.enter(0, "bob", "x")
		synctest.Wait()
		require.NoError(t, b.SetPresence([]byte("here")))
		synctest.Wait()
		for _, node := range []int{0, 1, 0} {
			require.NoError(t, b.Conn().CloseNow())
			sleep(presenceGrace - 1)
			_, b = s.enter(node, "bob", "x")
			sleep(presenceGrace)
			expectView(t, ann, "x", map[string]string{"ann": "", "bob": "here"})
			s.expectPresent(1, "x", map[string]string{"ann": "", "bob": "here"})
		}
		require.NoError(t, b.Conn().CloseNow())
		sleep(presenceGrace)
		expectView(t, ann, "x", people("ann"))
		assert.Equal(t, []string{"joined bob", "updated bob", "left bob"}, changesIn(t, ann, "x"))
	})
}

func TestPresenceOnSeveralNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 3, tellAll)
		ann, a := s.enter(0, "ann", "x", "y")
		synctest.Wait()
		bob, b := s.enter(1, "bob", "x")
		synctest.Wait()
		for node := range 3 {
			s.expectPresent(node, "x", people("ann", "bob"))
			s.expectPresent(node, "y", people("ann"))
		}
		expectView(t, ann, "x", people("ann", "bob"))
		expectView(t, bob, "x", people("ann", "bob"))
		require.NoError(t, b.SetPresence([]byte("b")))
		synctest.Wait()
		require.NoError(t, a.SetPresence([]byte("2")))
		synctest.Wait()
		s.expectPresent(2, "x", map[string]string{"ann": "2", "bob": "b"})
		expectView(t, bob, "x", map[string]string{"ann": "2", "bob": "b"})

		// The same person elsewhere, in another room: the value is that of the person.
		_, a2 := s.enter(2, "ann", "z")
		synctest.Wait()
		s.expectPresent(2, "z", map[string]string{"ann": "2"})
		require.NoError(t, a2.SetPresence([]byte("3")))
		synctest.Wait()
		for node := range 3 {
			s.expectPresent(node, "x", map[string]string{"ann": "3", "bob": "b"})
			s.expectPresent(node, "z", map[string]string{"ann": "3"})
		}
		require.NoError(t, a2.Join("x"))
		synctest.Wait()
		a.Leave("x")
		synctest.Wait()
		assert.Equal(t, []string{"joined bob", "updated bob", "updated ann", "updated ann"}, changesIn(t, ann, "x"))
		assert.Equal(t, []string{"updated bob", "updated ann", "updated ann"}, changesIn(t, bob, "x"))
		s.expectPresent(0, "x", map[string]string{"ann": "3", "bob": "b"})
		require.NoError(t, s.hubs[0].To(hub.Key("ann")).Leave("x"))
		synctest.Wait()
		expectView(t, bob, "x", map[string]string{"bob": "b"})
		require.NoError(t, s.hubs[0].To(hub.Key("bob")).Disconnect(4000, ""))
		sleep(presenceGrace)
		s.expectPresent(0, "x", people())
	})
}

// The people of a node that dies are gone when its lease has ended and the next tick has come, and not
// earlier than its lease.
func TestDeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		s.enter(1, "bob", "x")
		s.enter(1, "cid", "x")
		sleep(time.Minute)
		expectView(t, ann, "x", people("ann", "bob", "cid"))
		s.brokers[1].set(func() { s.brokers[1].cut = true })
		sleep(presenceTTL*3/4 - 1)
		expectView(t, ann, "x", people("ann", "bob", "cid"))
		sleep(presenceTTL/2 + 1)
		expectView(t, ann, "x", people("ann"))
		s.expectPresent(0, "x", people("ann"))
		s.brokers[1].set(func() { s.brokers[1].cut = false }) // it lives after all
		sleep(presenceTTL / 4)
		expectView(t, ann, "x", people("ann", "bob", "cid"))
	})
}

// A node that is shut down is told of as gone after the grace: its people can go elsewhere.
func TestNodeThatIsShutDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		synctest.Wait()
		s.enter(1, "bob", "x")
		synctest.Wait()
		s.enter(1, "cid", "x")
		synctest.Wait()
		require.NoError(t, s.hubs[1].Shutdown(t.Context()))
		sleep(presenceGrace - 1)
		s.enter(0, "bob", "x")
		synctest.Wait()
		expectView(t, ann, "x", people("ann", "bob", "cid"))
		sleep(1)
		expectView(t, ann, "x", people("ann", "bob"))
		assert.Equal(t, []string{"joined bob", "joined cid", "left cid"}, changesIn(t, ann, "x"))
	})
}

// While the broker is away, nobody is gone because of that, until the TTL has passed; then a node shows
// its own people, until the broker is back.
func TestBrokerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		synctest.Wait()
		bob, _ := s.enter(1, "bob", "x")
		sleep(time.Minute)
		cut := func(cut bool) {
			for _, b := range s.brokers {
				b.set(func() { b.cut = cut })
			}
		}
		cut(true)
		s.enter(0, "cid", "x")
		sleep(presenceTTL*3/4 - 1)
		expectView(t, ann, "x", people("ann", "bob", "cid"))
		expectView(t, bob, "x", people("ann", "bob"))
		cut(false)
		sleep(presenceTTL / 4)
		expectView(t, bob, "x", people("ann", "bob", "cid"))
		assert.Equal(t, []string{"joined cid"}, changesIn(t, bob, "x"))
		assert.Equal(t, []string{"joined bob", "joined cid"}, changesIn(t, ann, "x"))

		cut(true)
		sleep(presenceTTL)
		expectView(t, ann, "x", people("ann", "cid"))
		expectView(t, bob, "x", people("bob"))
		cut(false)
		sleep(presenceTTL / 4)
		expectView(t, ann, "x", people("ann", "bob", "cid"))
		expectView(t, bob, "x", people("ann", "bob", "cid"))
	})
}

// A broker that has lost all that it knew gets it again, and nobody is told of as gone.
func TestBrokerThatForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 3, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		synctest.Wait()
		s.enter(2, "cid", "x")
		synctest.Wait()
		bob, _ := s.enter(1, "bob", "x")
		synctest.Wait()
		expectView(t, ann, "x", people("ann", "bob", "cid"))
		for range 20 {
			lease, err := s.brokers[0].RenewNode(t.Context(), "another", time.Minute)
			require.NoError(t, err)
			for _, node := range lease.Nodes {
				require.NoError(t, s.brokers[0].RemoveNode(t.Context(), node))
			}
			sleep(7 * time.Second)
		}
		sleep(lossBound)
		assert.Equal(t, []string{"joined cid", "joined bob"}, changesIn(t, ann, "x"))
		assert.Empty(t, changesIn(t, bob, "x"))
		for node := range 3 {
			s.expectPresent(node, "x", people("ann", "bob", "cid"))
		}
		list, err := s.brokers[0].ListPresence(t.Context(), hub.Room("x"))
		require.NoError(t, err)
		assert.Len(t, list, 3)
	})
}

// What is lost between the nodes is mended.
func TestLostPublications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, tellAll)
		ann, _ := s.enter(0, "ann", "x")
		_, b := s.enter(1, "bob", "x")
		synctest.Wait()
		for i, lost := range []struct {
			do   func()
			want map[string]string
			in   time.Duration
		}{
			{func() { require.NoError(t, b.SetPresence([]byte("1"))) }, map[string]string{"ann": "", "bob": "1"}, presenceTTL + presenceTTL/4},
			{func() { b.Leave("x") }, people("ann"), lossBound},
			{func() { require.NoError(t, b.Join("x")) }, map[string]string{"ann": "", "bob": "1"}, presenceTTL + presenceTTL/4},
			{func() { require.NoError(t, b.SetKey("cid")) }, people("ann", "cid"), presenceTTL + presenceTTL/4},
		} {
			s.brokers[1].set(func() { s.brokers[1].loses = true })
			lost.do()
			synctest.Wait()
			s.brokers[1].set(func() { s.brokers[1].loses = false })
			sleep(lost.in)
			t.Log(i)
			expectView(t, ann, "x", lost.want)
		}
		// A later publication shows the loss at once.
		s.brokers[1].set(func() { s.brokers[1].loses = true })
		s.enter(1, "dan", "x")
		synctest.Wait()
		s.brokers[1].set(func() { s.brokers[1].loses = false })
		expectView(t, ann, "x", people("ann", "cid"))
		s.enter(1, "eve", "x")
		synctest.Wait()
		expectView(t, ann, "x", people("ann", "cid", "dan", "eve"))
	})
}

// A list that no changes follow is made anew for each member that enters a small room. In a large room,
// members that enter at about the same time share it: otherwise, each would cost as much as all before.
func TestListsWithoutChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listed, options := 0, tellAll()
		options.Changes = nil
		list := options.List
		options.List = func(room string, people []hub.Person) hub.Message {
			listed += len(people)
			return list(room, people)
		}
		h := hub.New(hub.Options{Presence: options})
		s := &scene{rig: newRig(t, testws.Memory, websocket.Options{PingInterval: -1}), t: t, hubs: []*hub.Hub{h}}
		const crowd = 1000
		want := people()
		for i := range crowd {
			key := fmt.Sprintf("user-%04d", i)
			client, _ := s.enter(0, key, "x")
			synctest.Wait()
			got := view(t, client)["x"]
			if i <= 100 && i > 0 {
				require.Equal(t, want, got, "%d", i)
			}
			assert.GreaterOrEqual(t, len(got), i-5-i/16, "%d", i)
			want[key] = ""
		}
		assert.Less(t, listed, 50*crowd, "people in all lists")
		sleep(time.Second)
		client, _ := s.enter(0, "late", "x")
		synctest.Wait()
		expectView(t, client, "x", want)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}
