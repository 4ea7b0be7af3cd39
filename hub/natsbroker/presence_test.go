package natsbroker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
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

// In a cluster of three, what one node has put is in all lists and revisions of the others that are asked for
// afterwards, though a server that answers may be behind.
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
		revisions, err := nodes[(from+2)%3].PresenceRevisions(patient(t), []hub.Topic{room("x")})
		require.NoError(t, err)
		require.Equal(t, revision, revisions[0][fmt.Sprint(from)])
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
	for i := range 100 {
		put(people(100*i, 100*i+100)...)
	}
	assert.Less(t, size(), uint64(1500<<10))
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
