//go:build !race && unix

package hub_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Ten thousand people enter one room on three nodes. Each costs the same, however many are there, and
// those that come together are put and published together.
func TestManyPeopleInOneRoom(t *testing.T) {
	const people, nodes = 9_999, 3
	var network hub.Memory
	hubs := make([]*hub.Hub, nodes)
	brokers := make([]*unreliableBroker, nodes)
	for i := range hubs {
		brokers[i] = newUnreliableBroker(&network)
		hubs[i] = hub.New(hub.Options{
			Broker: brokers[i], Presence: new(hub.PresenceOptions), WhenFull: hub.DropNewest, Queue: roomForOne,
		})
		t.Cleanup(func() { require.NoError(t, hubs[i].Shutdown(context.Background())) })
	}
	conns := crowd(t, 6)
	before, _ := heap()
	begun := cpuTime(t)
	var parts []time.Duration
	for part := range 3 {
		partBegan := cpuTime(t)
		for i := part * people / 3; i < (part+1)*people/3; i++ {
			node := i % nodes
			member, err := hubs[node].Join(conns[i%len(conns)])
			require.NoError(t, err)
			require.NoError(t, member.SetKey(fmt.Sprintf("user-%05d", i)))
			require.NoError(t, member.Join("lobby"))
		}
		for _, h := range hubs {
			eventually(t, func() bool {
				n, err := h.CountPresent(t.Context(), "lobby")
				return err == nil && n == (part+1)*people/3
			})
		}
		parts = append(parts, cpuTime(t)-partBegan)
	}
	bytes, puts := 0, 0
	for _, b := range brokers {
		b.set(func() { bytes, puts = bytes+b.bytes, puts+b.calls["put"] })
	}
	after, _ := heap()
	t.Logf("CPU of a join: %v; of each third: %v; bytes put and published: %d a join; calls of PutPresence: %d; memory of the three nodes and the broker: %d bytes a person",
		(cpuTime(t)-begun)/people, parts, bytes/people, puts, (int64(after)-int64(before))/people)
	assert.Less(t, bytes/people, 250)
	assert.Less(t, (cpuTime(t)-begun)/people, time.Millisecond)
	assert.Less(t, parts[2], 4*parts[0]+100*time.Millisecond, "a join costs more where many are")
}
