package roster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type taken = map[string]roster.ChangeKind

// assertNothingTaken fails the test if the owner is told something. It is called in a bubble.
func assertNothingTaken(t *testing.T, o *owner) {
	t.Helper()
	synctest.Wait()
	select {
	case changes := <-o.takes:
		assert.Fail(t, "something is told", "%v", kinds(changes))
	default:
	}
}

func TestOwnerIsToldWhatHasBecomeOfPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := (*network)(nil).join(t, "one", time.Second)
		r := n.enter("lobby", "ann")
		o := <-n.owners
		assert.Equal(t, taken{"ann": roster.Joined}, kinds(<-o.takes))

		r.Join("")
		assertNothingTaken(t, o)

		n.MoveKey([]string{"lobby", "elsewhere"}, "ann", "bob")
		assert.Equal(t, taken{"ann": roster.Left, "bob": roster.Joined}, kinds(<-o.takes), "at one moment")

		require.NoError(t, n.Set("bob", []byte("away")))
		changes := <-o.takes
		assert.Equal(t, taken{"bob": roster.Updated}, kinds(changes))
		assert.Equal(t, "away", string(changes["bob"].Value))
		require.NoError(t, n.Set("bob", []byte("away")))
		assertNothingTaken(t, o)

		r.Leave("bob", true)
		assertNothingTaken(t, o)
		time.Sleep(time.Second)
		changes = <-o.takes
		assert.Equal(t, taken{"bob": roster.Left}, kinds(changes))
		assert.Equal(t, "away", string(changes["bob"].Value), "the last value")
	})
}

// What is shown is what the owner has told of, not what it has taken: a list goes with the messages
// before it.
func TestShownIsWhatWasTold(t *testing.T) {
	n := (*network)(nil).join(t, "one", 0)
	r := n.enter("lobby", "ann")
	<-(<-n.owners).takes
	assert.Equal(t, []roster.Person{{Key: "ann"}}, r.Shown())
	assert.Equal(t, 1, r.Len())
	changes, first := r.Take()
	assert.Empty(t, changes)
	assert.False(t, first)
}

func TestPeopleOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(network)
		one, two := w.join(t, "one", 0), w.join(t, "two", 0)
		onOne := one.enter("lobby", "ann")
		o := <-one.owners
		assert.Equal(t, taken{"ann": roster.Joined}, kinds(<-o.takes))
		synctest.Wait()

		onTwo := two.enter("lobby", "bob")
		assert.Equal(t, taken{"ann": roster.Here, "bob": roster.Joined}, kinds(<-(<-two.owners).takes))
		assert.Equal(t, taken{"bob": roster.Joined}, kinds(<-o.takes))

		two.MoveKey(nil, "", "ann")
		onTwo.Join("ann")
		require.NoError(t, two.Set("ann", []byte("twice")))
		assert.Equal(t, taken{"ann": roster.Updated}, kinds(<-o.takes))
		one.exit(onOne, "ann", false)
		assertNothingTaken(t, o) // she is on the other node
		people, n, err := one.Present(t.Context(), "lobby", true)
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		assert.ElementsMatch(t, []roster.Person{{Key: "ann", Value: []byte("twice")}, {Key: "bob"}}, people)
	})
}

func TestLostNoticesAreMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(network)
		one, two := w.join(t, "one", 0), w.join(t, "two", 0)
		one.enter("lobby", "ann")
		o := <-one.owners
		<-o.takes
		w.mu.Lock()
		w.loses = true
		w.mu.Unlock()
		two.enter("lobby", "bob")
		assertNothingTaken(t, o)
		begun := time.Now()
		assert.Equal(t, taken{"bob": roster.Joined}, kinds(<-o.takes))
		assert.LessOrEqual(t, time.Since(begun), 150*time.Second, "two and a half times the TTL")
	})
}

// A room ends when nobody is in it and everything is told, not before; and begins anew after that.
func TestRoomEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network).join(t, "one", time.Second)
		r := n.enter("lobby", "ann")
		o := <-n.owners
		<-o.takes
		synctest.Wait()
		n.exit(r, "ann", true)
		synctest.Wait()
		assert.Same(t, r, n.Room("lobby"), "she may come back")
		assert.False(t, r.End())
		assert.Same(t, r, n.Room("lobby"))
		assert.True(t, <-o.idle)
		assert.Nil(t, n.Room("lobby"))
		assert.Equal(t, taken{"ann": roster.Left}, kinds(<-o.takes))
		assert.Nil(t, n.Enter("lobby", false))
		assert.NotSame(t, r, n.enter("lobby", "ann"))
		assert.Equal(t, taken{"ann": roster.Joined}, kinds(<-(<-n.owners).takes))
	})
}

// A broker that keeps nothing switches the roster off. The subscriptions of rooms without members end.
func TestBrokerThatKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(network)
		n := w.join(t, "one", time.Hour)
		left := n.enter("left", "ann")
		inLeft := <-n.owners
		<-inLeft.takes
		n.enter("occupied", "bob")
		inOccupied := <-n.owners
		<-inOccupied.takes
		n.exit(left, "ann", true)
		w.mu.Lock()
		w.off = true
		w.mu.Unlock()
		assert.True(t, <-inLeft.idle, "nobody needs the subscription")
		assert.False(t, <-inOccupied.idle, "members do")
		assert.ErrorIs(t, <-n.failed, errOff)
		assert.Nil(t, n.Room("occupied"))
		assert.Nil(t, n.enter("another", "ann"))
		assert.ErrorIs(t, n.Set("bob", nil), errOff)
		_, _, err := n.Present(t.Context(), "occupied", true)
		assert.ErrorIs(t, err, errOff)
	})
}

func TestPanicOfAnOwnerIsLogged(t *testing.T) {
	n := (*network)(nil).join(t, "one", 0)
	r := n.enter("lobby", "panic")
	assert.ErrorContains(t, <-n.failed, "a mistake")
	n.MoveKey(nil, "", "ann")
	r.Join("ann")
	assert.Equal(t, taken{"ann": roster.Joined}, kinds(<-(<-n.owners).takes))
}

func TestMalformedNoticesAreIgnored(t *testing.T) {
	n := new(network).join(t, "one", 0)
	n.enter("lobby", "ann")
	<-(<-n.owners).takes
	for _, kind := range []roster.NoticeKind{roster.RoomChanged, roster.ValueSet, roster.NodeGone, 9} {
		for _, body := range [][]byte{nil, {0}, []byte("lobby")} {
			n.Receive(roster.Notice{Kind: kind, Name: "lobby", Body: body})
			n.Receive(roster.Notice{Kind: kind, Name: "ann", Body: body})
		}
	}
	people, _, err := n.Present(t.Context(), "lobby", true)
	require.NoError(t, err)
	assert.Equal(t, []roster.Person{{Key: "ann"}}, people)
}
