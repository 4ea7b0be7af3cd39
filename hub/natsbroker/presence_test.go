package natsbroker_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPresence(t *testing.T) {
	t.Parallel()
	brokertest.TestPresence(t, func(t *testing.T) brokertest.Network {
		s := startJetStream(t)
		return func(t *testing.T) hub.Broker {
			return newJetStream(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
		}
	})
}

// In a cluster of three, what one node has put is in all lists of the others that are asked for afterwards, though a
// server that answers may be behind, and soon in the revisions.
func TestPresenceInACluster(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	var nodes []*keeper
	for i, s := range c.servers {
		nodes = append(nodes, newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Replicas: 3}))
		lease, err := nodes[i].RenewNode(patient(t), fmt.Sprint(i), time.Minute)
		require.NoError(t, err)
		require.Len(t, lease.Nodes, i+1)
	}
	for k := range 60 {
		from := k % 3
		revision := uint64(k + 1)
		require.NoError(t, nodes[from].PutPresence(patient(t), room("x"), fmt.Sprint(from), revision, people(k, k+1)))
		list, err := nodes[(from+1)%3].ListPresence(patient(t), room("x"))
		require.NoError(t, err)
		total := 0
		for _, np := range list {
			total += len(np.Entries)
		}
		require.Equal(t, k+1, total)
		require.Eventually(t, func() bool {
			revisions, err := nodes[(from+2)%3].PresenceRevisions(patient(t), []hub.Topic{room("x")})
			return assert.NoError(t, err) && revisions[0][fmt.Sprint(from)] == revision
		}, patience, moment)
	}
	require.NoError(t, nodes[0].RemoveNode(patient(t), "1"))
	list, err := nodes[2].ListPresence(patient(t), room("x"))
	require.NoError(t, err)
	require.Len(t, list, 2)
	lease, err := nodes[1].RenewNode(patient(t), "1", time.Minute)
	require.NoError(t, err)
	assert.True(t, lease.New)
	assert.Len(t, lease.Nodes, 3)
}

// A server of a cluster that has not got anything yet answers, once or several times. A list has what was put all the
// same.
func TestListsOfAServerThatIsBehind(t *testing.T) {
	s := startJetStream(t)
	nc := connect(t, s.ClientURL())
	behind := startBehind(t, connect(t, s.ClientURL()))
	js, err := jetstream.NewWithAPIPrefix(nc, "BEHIND")
	require.NoError(t, err)
	b, err := natsbroker.NewJetStream(js, natsbroker.JetStreamOptions{})
	require.NoError(t, err)
	b.Open(func(hub.Topic, []byte) {})
	defer b.Close() //nolint:errcheck // it has only to be closed
	_, err = b.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	require.NoError(t, b.PutPresence(patient(t), room("x"), "a", 1, people(0, 2)))
	for _, times := range []int64{0, 1, 2, 20} {
		behind.Store(times)
		list, err := b.ListPresence(patient(t), room("x"))
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Len(t, list[0].Entries, 2)
		behind.Store(times)
		lease, err := b.RenewNode(patient(t), "a", time.Minute)
		require.NoError(t, err)
		assert.False(t, lease.New)
		assert.Equal(t, []string{"a"}, lease.Nodes)
		assert.LessOrEqual(t, behind.Load(), int64(0), "the answers were given")
	}
}

// startBehind starts what answers requests to the JetStream API with the prefix BEHIND as a server does that says
// that streams have replicas, and has nothing of them for as many reads as the result says.
func startBehind(t *testing.T, nc *nats.Conn) *atomic.Int64 {
	t.Helper()
	const prefix = "BEHIND."
	empty := new(atomic.Int64)
	_, err := nc.Subscribe(prefix+">", func(m *nats.Msg) {
		subject := "$JS.API." + strings.TrimPrefix(m.Subject, prefix)
		switch {
		case strings.HasPrefix(m.Subject, prefix+"DIRECT.GET.") && empty.Add(-1) >= 0:
			answer := nats.NewMsg(m.Reply)
			answer.Header.Set("Status", "404")
			_ = nc.PublishMsg(answer)
		case strings.HasPrefix(m.Subject, prefix+"STREAM.INFO."), strings.HasPrefix(m.Subject, prefix+"STREAM.CREATE."):
			if answer, err := nc.Request(subject, m.Data, patience); err == nil {
				_ = m.Respond(bytes.Replace(answer.Data, []byte(`"num_replicas":1`), []byte(`"num_replicas":3`), 1))
			}
		default:
			_ = nc.PublishRequest(subject, m.Reply, m.Data)
		}
	})
	require.NoError(t, err)
	require.NoError(t, nc.FlushTimeout(patience))
	return empty
}

func people(from, to int) (changes []hub.PresenceEntry) {
	for i := from; i < to; i++ {
		changes = append(changes, hub.PresenceEntry{Key: fmt.Sprint("person ", i), Value: []byte("a name")})
	}
	return changes
}

// The log of a room is about as long as the people in it are many, and ends with them.
func TestLogsAreShortened(t *testing.T) {
	s := startJetStream(t)
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	_, err := k.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	revision := uint64(0)
	put := func(changes ...hub.PresenceEntry) {
		t.Helper()
		revision++
		require.NoError(t, k.PutPresence(patient(t), room("x"), "a", revision, changes))
	}
	size := func() uint64 { return state(t, k.nc, "websocket_hub_state").Bytes }
	for i := range 1000 {
		put(people(i%10, i%10+1)...)
	}
	assert.Less(t, size(), uint64(40<<10))
	for i := range 400 { // again and again: snapshots in several parts
		put(people(100*(i%100), 100*(i%100)+100)...)
	}
	assert.Less(t, size(), uint64(1000<<10))
	list, err := k.ListPresence(patient(t), room("x"))
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Len(t, list[0].Entries, 10_000)
	assert.Equal(t, revision, list[0].Revision)
	for i := range 100 {
		gone := people(100*i, 100*i+100)
		for j := range gone {
			gone[j].Value = nil
		}
		put(gone...)
	}
	assert.Less(t, size(), uint64(1<<10))
	revisions, err := k.PresenceRevisions(patient(t), []hub.Topic{room("x")})
	require.NoError(t, err)
	assert.Empty(t, revisions[0])
}

// A change that is longer than a message takes effect as a whole, or not at all.
func TestLongChanges(t *testing.T) {
	s := startServer(t, withJetStream(t.TempDir()), func(o *server.Options) { o.MaxPayload = 4000 })
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	_, err := k.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	require.NoError(t, k.PutPresence(patient(t), room("x"), "a", 1, people(0, 1000)))
	list, err := k.ListPresence(patient(t), room("x"))
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Len(t, list[0].Entries, 1000)

	state := stream(t, k.nc, "websocket_hub_state")
	last, err := state.GetLastMsgForSubject(patient(t), "websocket.hub.state.people.room.eA.YQ")
	require.NoError(t, err)
	require.NoError(t, k.PutPresence(patient(t), room("x"), "a", 2, people(1000, 2000)))
	for seq := last.Sequence + 3; ; seq++ { // the rest of the change is lost, as if the node had ended
		if state.DeleteMsg(patient(t), seq) != nil {
			break
		}
	}
	list, err = k.ListPresence(patient(t), room("x"))
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Len(t, list[0].Entries, 1000)
	assert.Equal(t, uint64(1), list[0].Revision)
	revisions, err := k.PresenceRevisions(patient(t), []hub.Topic{room("x")})
	require.NoError(t, err)
	assert.Equal(t, map[string]uint64{"a": 1}, revisions[0])
}

// Who sees that a node has died removes what it has left.
func TestDeadNodesLeaveNothing(t *testing.T) {
	t.Parallel()
	s := startJetStream(t)
	dead := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	_, err := dead.RenewNode(patient(t), "dead", time.Second)
	require.NoError(t, err)
	for i := range 20 {
		require.NoError(t, dead.PutPresence(patient(t), room(fmt.Sprint(i)), "dead", 1, people(0, 10)))
	}
	require.Eventually(t, func() bool {
		lease, err := k.RenewNode(patient(t), "alive", time.Minute)
		require.NoError(t, err)
		return len(lease.Nodes) == 1
	}, patience, 100*time.Millisecond)
	assert.Equal(t, uint64(1), state(t, k.nc, "websocket_hub_state").Msgs, "the lease of the other one")
	require.ErrorIs(t, dead.PutPresence(patient(t), room("0"), "dead", 2, people(0, 10)), natsbroker.ErrNoLease)
	lease, err := dead.RenewNode(patient(t), "dead", time.Minute)
	require.NoError(t, err)
	assert.True(t, lease.New)
}
