package natsbroker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/require"
)

// A log that is replayed gives what was put, whichever of its records are snapshots, come in parts, come
// late or are repeated, and whatever part of a change that was not acknowledged is missing.
func TestReplay(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		want, people := make(map[string][]byte), new(replay)
		apply := func(parts [][]byte) {
			for _, part := range parts {
				r, ok := decodeRecord(part)
				require.True(t, ok)
				people.apply(r)
			}
		}
		revision := uint64(0)
		for range 50 {
			revision += 1 + random.Uint64N(3)
			r := record{life: "life", node: "node", revision: revision}
			for range random.IntN(20) {
				e := hub.PresenceEntry{Key: fmt.Sprint(random.IntN(30))}
				if random.IntN(3) > 0 {
					e.Value = fmt.Append([]byte{}, random.IntN(100))
				}
				r.entries = append(r.entries, e)
			}
			limit := 20 + random.IntN(1000)
			if parts := r.parts(limit); random.IntN(4) == 0 && len(parts) > 1 { // it fails
				missing := random.IntN(len(parts))
				apply(append(append([][]byte(nil), parts[:missing]...), parts[missing+1:]...))
				require.NotEqual(t, revision, people.revision)
			}
			change(want, r.entries)
			if random.IntN(5) == 0 {
				r.snapshot, r.entries = true, nil
				for key, value := range want {
					r.entries = append(r.entries, hub.PresenceEntry{Key: key, Value: value})
				}
			}
			parts := r.parts(limit)
			apply(parts)
			if random.IntN(4) == 0 && !r.snapshot {
				apply(parts)
			}
			if random.IntN(4) == 0 {
				late := record{life: "life", node: "node", revision: revision - 1, entries: []hub.PresenceEntry{{Key: "late", Value: []byte{}}}}
				apply(late.parts(limit))
			}
			require.Equal(t, revision, people.revision, "seed %d", seed)
			require.True(t, maps.EqualFunc(want, people.people, func(a, b []byte) bool { return string(a) == string(b) }), "seed %d", seed)
		}
	}
}

// Damaged records are refused, or are records.
func TestDamagedRecords(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a test
	whole := record{
		life: "life", node: "node", change: "change", revision: 7, last: true,
		entries: []hub.PresenceEntry{{Key: "a", Value: []byte("b")}, {Key: "c"}, {Key: "", Value: []byte{}}},
	}.encode()
	refused := 0
	for range 20_000 {
		damaged := append([]byte(nil), whole[:random.IntN(len(whole)+1)]...)
		for range random.IntN(3) {
			if len(damaged) > 0 {
				damaged[random.IntN(len(damaged))] = byte(random.Uint32())
			}
		}
		r, ok := decodeRecord(damaged)
		if !ok {
			refused++
			continue
		}
		again, ok := decodeRecord(r.encode())
		require.True(t, ok)
		require.Equal(t, r, again)
	}
	require.Greater(t, refused, 10_000)
	for n := range whole {
		_, ok := decodeRecord(whole[:n])
		require.False(t, ok, n)
	}
}

// Nothing is kept in memory of a room that the people of this node have left.
func TestLogOfAnEmptyRoomIsForgotten(t *testing.T) {
	p := newStateStream()
	p.leases["node"] = lease{node: "node", life: "life", ttl: time.Minute, at: time.Now(), own: true}
	for i := range uint64(10) {
		name := logName{hub.Room(fmt.Sprint(i)), "node"}
		for revision, value := range [][]byte{[]byte("here"), nil} {
			r, late, err := p.record(name, uint64(revision)+1, []hub.PresenceEntry{{Key: "ann", Value: value}}) //nolint:gosec // 0 or 1
			require.NoError(t, err)
			require.False(t, late)
			require.Equal(t, value == nil, r.snapshot, "in place of what was there")
			p.put(name, r)
			require.Len(t, p.logs, 1-revision)
		}
	}
}
