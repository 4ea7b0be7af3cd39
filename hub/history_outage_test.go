package hub_test

import (
	"context"
	"sync/atomic"
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

// outage is a test of two nodes, of which the second one has a faulty broker, and a member.
type outage struct {
	*testing.T
	here, there *hub.Hub
	broker      *faultyBroker // of there
	rig         *rig
	client      *wstest.Client
	member      *hub.Member
}

func testOutage(t *testing.T, test func(o *outage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		silenceSlog(t)
		var network hub.Memory
		o := &outage{T: t, broker: newFaultyBroker(&network), rig: newRig(t, testws.Memory, websocket.Options{})}
		o.here = hub.New(hub.Options{History: keepTen(), Broker: network.Node()})
		o.there = hub.New(hub.Options{History: keepTen(), Broker: o.broker})
		o.client, o.member = o.rig.join(o.there)
		require.NoError(t, o.member.JoinContext(t.Context(), "lobby"))
		o.broker.countReads()
		defer func() {
			_ = o.here.Shutdown(context.Background())
			_ = o.there.Shutdown(context.Background())
		}()
		test(o)
	})
}

func (o *outage) say(texts ...string) {
	o.Helper()
	say(o.T, o.here, "lobby", texts...)
}

// lose loses entries until the filter is set anew.
func (o *outage) lose() { o.broker.setFilter(func(hub.Entry) int { return 0 }) }

// An entry that was lost on its way is read as soon as the next one has come and a late one would have.
func TestLostEntry(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.say("1")
		o.lose()
		o.say("2", "3")
		o.broker.setFilter(nil)
		begun := time.Now()
		o.say("4", "5")
		expect(o.T, o.client, "1", "2", "3", "4", "5")
		assert.Equal(o, 20*time.Millisecond, time.Since(begun))
		assert.Equal(o, 1, o.broker.countReads())
		o.say("6")
		expect(o.T, o.client, "6")
		assert.Zero(o, o.broker.countReads())
	})
}

// Entries that overtake each other, or come twice, cost no reading.
func TestLateAndRepeatedEntries(t *testing.T) {
	testOutage(t, func(o *outage) {
		var late []hub.Entry
		o.broker.setFilter(func(e hub.Entry) int {
			if len(late) < 2 {
				late = append(late, e)
				return 0
			}
			return 2
		})
		o.say("1", "2", "3", "4")
		time.Sleep(10 * time.Millisecond)
		for _, e := range []hub.Entry{late[1], late[0], late[0]} {
			o.broker.receive(hub.Room("lobby"), e)
		}
		expect(o.T, o.client, "1", "2", "3", "4")
		for _, e := range late {
			o.broker.receive(hub.Room("lobby"), e)
		}
		time.Sleep(time.Second)
		assert.Zero(o, o.broker.countReads())
		nothing(o.T, o.there, o.client)
	})
}

// A lost entry that no other one follows is found by a check, within twice the interval.
func TestQuietRoomIsChecked(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.lose()
		o.say("lost")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Equal(o, []wstest.Message{{Type: websocket.TextMessage, Data: []byte("lost")}}, o.client.Received())
		o.broker.countReads()
		time.Sleep(10 * time.Minute)
		assert.InDelta(o, 39, o.broker.countReads(), 1)

		o.broker.setAway(true)
		o.say("lost again")
		time.Sleep(10 * time.Minute) // nobody is disconnected for a failed check
		o.broker.setAway(false)
		time.Sleep(15 * time.Second)
		expect(o.T, o.client, "lost again")

		o.member.Leave("lobby")
		time.Sleep(time.Minute)
		o.broker.countReads()
		time.Sleep(10 * time.Minute)
		assert.Zero(o, o.broker.countReads(), "without members nothing is checked")
	})
}

// While the broker is away, members wait for a missing message; they are disconnected when that takes
// too long, get nothing that is after it, and can resume.
func TestGapThatIsNotFilled(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.say("1")
		expect(o.T, o.client, "1")
		o.lose()
		o.say("2")
		o.broker.setFilter(nil)
		o.broker.setAway(true)
		o.say("3")
		time.Sleep(29 * time.Second)
		o.broker.setAway(false)
		expect(o.T, o.client, "2", "3")

		at := position(o.T, o.here, "lobby")
		o.lose()
		o.say("4")
		o.broker.setFilter(nil)
		o.broker.setAway(true)
		begun := time.Now()
		o.say("5")
		<-o.member.Conn().Context().Done()
		o.client.ExpectClose(websocket.CloseTryAgainLater, "missed messages")
		assert.Equal(o, 30*time.Second+20*time.Millisecond, time.Since(begun))
		o.say("6")
		o.broker.setAway(false)
		client, member := o.rig.join(o.there)
		_, err := member.JoinSince(o.Context(), "lobby", at)
		require.NoError(o, err)
		o.say("7")
		expect(o.T, client, "4", "5", "6", "7")
		nothing(o.T, o.there, client)
	})
}

// When messages after the cursor are not kept any more, members are disconnected at once.
func TestGapThatIsLost(t *testing.T) {
	testOutage(t, func(o *outage) {
		at := position(o.T, o.here, "lobby")
		o.lose()
		o.say(numbers("lost ", 11)...)
		o.broker.setFilter(nil)
		begun := time.Now()
		o.say("the last")
		o.client.ExpectClose(websocket.CloseTryAgainLater, "missed messages")
		assert.Equal(o, 20*time.Millisecond, time.Since(begun))
		client, member := o.rig.join(o.there)
		_, err := member.JoinSince(o.Context(), "lobby", at)
		require.ErrorIs(o, err, hub.ErrHistoryLost)
		at, err = member.JoinSince(o.Context(), "lobby", hub.Position{})
		require.NoError(o, err)
		assert.Equal(o, position(o.T, o.here, "lobby"), at)
		expect(o.T, client, append(numbers("lost ", 11)[2:], "the last")...)
		o.say("live")
		expect(o.T, client, "live")
	})
}

// A member that another node has brought further than this node waits until this node is there, too.
func TestResumeAheadOfNode(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.say("1")
		o.lose()
		o.say("2", "3")
		at := position(o.T, o.here, "lobby")
		client, member := o.rig.join(o.there)
		got, err := member.JoinSince(o.Context(), "lobby", at)
		require.NoError(o, err)
		assert.Equal(o, at, got)
		expect(o.T, o.client, "1", "2", "3")
		o.broker.setFilter(nil)
		o.say("4")
		expect(o.T, client, "4")
		expect(o.T, o.client, "4")
		nothing(o.T, o.there, o.client, client)
	})
}

// A broker that is away fails the calls that need it, within their bounds.
func TestHistoryBrokerAway(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.broker.setAway(true)
		require.ErrorIs(o, o.there.To(hub.Room("lobby")).Send(hub.Text("hello")), errAway)
		_, _, err := o.there.History(o.Context(), "lobby", hub.Position{}, 1)
		require.ErrorIs(o, err, errAway)
		_, member := o.rig.join(o.there)
		_, err = member.JoinSince(o.Context(), "lobby", hub.Position{})
		require.ErrorIs(o, err, errAway)
		assert.Empty(o, member.Rooms())

		o.broker.setAway(false)
		o.broker.delay(time.Minute)
		begun := time.Now()
		require.ErrorContains(o, o.there.To(hub.Room("lobby")).Send(hub.Text("hello")), "not answered in time")
		assert.Equal(o, 5*time.Second, time.Since(begun))
		require.ErrorContains(o, o.there.To(hub.Room("a new room")).Send(hub.Text("hello")), "not answered in time")

		begun = time.Now()
		client, member := o.rig.join(o.there, "a new room")
		require.ErrorContains(o, o.there.To(hub.Room("a new room")).Send(hub.Text("hello")), "not answered in time")
		<-member.Conn().Context().Done()
		client.ExpectClose(websocket.CloseTryAgainLater, "missed messages")
		assert.InDelta(o, 32.5, time.Since(begun).Seconds(), 2.6, "the wait, and a call that had begun")
	})
}

// An entry that nobody can read is not waited for for good.
func TestMalformedEntries(t *testing.T) {
	testOutage(t, func(o *outage) {
		for _, payload := range []string{"", "\x01", "\x02\x01\x00hello", "\x01\x08\x00\x03\xe8", "\x01\x01\x01\x01\x02\x01xhello", "\x01\x02\x00" + string(make([]byte, 3<<20))} {
			_, err := o.broker.Append(o.Context(), hub.Room("lobby"), []byte(payload), hub.Keep{Messages: 10})
			require.NoError(o, err)
		}
		messages, newest, err := o.there.History(o.Context(), "lobby", hub.Position{}, 2)
		require.NoError(o, err)
		assert.Empty(o, messages)
		assert.EqualValues(o, 6, newest.Offset)
		_, err = o.broker.Append(o.Context(), hub.Room("lobby"), []byte("\x01\x01\x00of another program"), hub.Keep{Messages: 10})
		require.NoError(o, err)
		expect(o.T, o.client, "of another program")
		messages, _, err = o.there.History(o.Context(), "lobby", hub.Position{}, 2)
		require.NoError(o, err)
		assert.Len(o, messages, 1)
		_, member := o.rig.join(o.there)
		at, err := member.JoinSince(o.Context(), "lobby", hub.Position{})
		require.NoError(o, err)
		assert.EqualValues(o, 7, at.Offset)
	})
}

// A broker that panics is a broker that fails.
func TestHistoryBrokerPanics(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.broker.mu.Lock()
		o.broker.replace = func(hub.Position) error { panic("read") }
		o.broker.mu.Unlock()
		_, _, err := o.there.History(o.Context(), "lobby", hub.Position{}, 1)
		var panicked *websocket.PanicError
		require.ErrorAs(o, err, &panicked)
	})
}

// Shutdown ends what waits for the broker.
func TestShutdownEndsFollowing(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.broker.delay(time.Hour)
		o.rig.join(o.there, "a new room")
		_, waiting := o.rig.join(o.there)
		done := make(chan error)
		go func() {
			_, err := waiting.JoinSince(o.Context(), "a new room", hub.Position{})
			done <- err
		}()
		synctest.Wait()
		begun := time.Now()
		require.NoError(o, o.there.Shutdown(o.Context()))
		require.Error(o, <-done)
		assert.Zero(o, time.Since(begun))
		require.ErrorIs(o, o.there.To(hub.Room("lobby")).Send(hub.Text("late")), websocket.ErrShutdown)
	})
}

// What does not fit among the entries that wait for a missing one is read.
func TestManyEntriesBehindGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		history := &hub.HistoryOptions{Rooms: func(string) hub.Keep { return hub.Keep{Messages: 1000} }}
		broker := newFaultyBroker(&network)
		here := hub.New(hub.Options{History: history, Broker: network.Node()})
		there := hub.New(hub.Options{History: history, Broker: broker})
		client, member := newRig(t, testws.Memory, websocket.Options{}).join(there)
		require.NoError(t, member.JoinContext(t.Context(), "lobby"))
		broker.setFilter(func(hub.Entry) int { return 0 })
		say(t, here, "lobby", "lost")
		broker.setFilter(nil)
		say(t, here, "lobby", numbers("", 600)...)
		begun := time.Now()
		expect(t, client, "lost")
		expect(t, client, numbers("", 600)...)
		assert.Equal(t, 20*time.Millisecond, time.Since(begun))
		nothing(t, there, client)
		require.NoError(t, here.Shutdown(t.Context()))
		require.NoError(t, there.Shutdown(t.Context()))
	})
}

// An entry of an earlier epoch that arrives late is ignored.
func TestEntryOfEarlierEpoch(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.say("1")
		o.broker.receive(hub.Room("lobby"), hub.Entry{Position: hub.Position{Epoch: "earlier", Offset: 3}, Previous: 2, Payload: []byte("\x01\x01\x00late")})
		o.broker.receive(hub.Room("lobby"), hub.Entry{Position: hub.Position{Epoch: "earlier", Offset: 1}, Payload: []byte("\x01\x01\x00late")})
		o.say("2")
		time.Sleep(time.Minute)
		o.say("3")
		expect(o.T, o.client, "1", "2", "3")
		assert.LessOrEqual(o, o.broker.countReads(), 6)
	})
}

// An entry that the broker delivers and does not return is waited for as long as any other.
func TestEntryThatCannotBeRead(t *testing.T) {
	testOutage(t, func(o *outage) {
		at := position(o.T, o.here, "lobby")
		begun := time.Now()
		o.broker.receive(hub.Room("lobby"), hub.Entry{Position: hub.Position{Epoch: at.Epoch, Offset: 7}, Previous: 6, Payload: []byte("\x01\x01\x00?")})
		<-o.member.Conn().Context().Done()
		o.client.ExpectClose(websocket.CloseTryAgainLater, "missed messages")
		assert.Equal(o, 30*time.Second+20*time.Millisecond, time.Since(begun))
	})
}

// After the newest messages were lost, as with the server of a broker, the history goes on with later offsets. Who
// knows one of those messages is told, though this node has all that follow: they do not follow that message.
func TestPositionThatOthersPass(t *testing.T) {
	testOutage(t, func(o *outage) {
		o.say("1")
		one := position(o.T, o.here, "lobby")
		later := hub.Position{Epoch: one.Epoch, Offset: one.Offset + 1_000_000}
		o.broker.receive(hub.Room("lobby"), hub.Entry{Position: later, Previous: one.Offset, Payload: []byte("\x01\x01\x00later")})
		expect(o.T, o.client, "1", "later")

		client, member := o.rig.join(o.there)
		_, err := member.JoinSince(o.Context(), "lobby", hub.Position{Epoch: one.Epoch, Offset: one.Offset + 1})
		require.ErrorIs(o, err, hub.ErrHistoryLost)
		at, err := member.JoinSince(o.Context(), "lobby", one)
		require.NoError(o, err)
		assert.Equal(o, later, at)
		expect(o.T, client, "later")
		_, other := o.rig.join(o.there)
		at, err = other.JoinSince(o.Context(), "lobby", later)
		require.NoError(o, err)
		assert.Equal(o, later, at)
	})
}

// A knowingBroker knows a position that no node reaches, until it forgets it.
type knowingBroker struct {
	*faultyBroker
	at        hub.Position
	forgotten atomic.Bool
}

func (b *knowingBroker) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	entries, newest, err := b.faultyBroker.Read(ctx, t, after, limit)
	if after == b.at && !b.forgotten.Load() {
		return nil, b.at, nil
	}
	return entries, newest, err
}

// A member that waits for its node to reach its position asks the broker now and then, and learns when
// the position is lost.
func TestPositionThatIsLostWhileAwaited(t *testing.T) {
	testOutage(t, func(o *outage) {
		broker := &knowingBroker{faultyBroker: o.broker, at: hub.Position{Epoch: "another", Offset: 7}}
		var reads atomic.Int64
		o.broker.replace = func(hub.Position) error {
			if reads.Add(1) > 1000 {
				broker.forgotten.Store(true)
			}
			return nil
		}
		node := hub.New(hub.Options{History: keepTen(), Broker: broker})
		_, member := o.rig.join(node)
		done := make(chan error, 1)
		go func() {
			_, err := member.JoinSince(o.Context(), "lobby", broker.at)
			done <- err
		}()
		time.Sleep(10 * time.Second)
		assert.Less(o, reads.Load(), int64(50))
		broker.forgotten.Store(true)
		begun := time.Now()
		require.ErrorIs(o, <-done, hub.ErrHistoryLost)
		assert.LessOrEqual(o, time.Since(begun), time.Second)
		assert.Empty(o, member.Rooms())
		require.NoError(o, node.Shutdown(o.Context()))
	})
}
