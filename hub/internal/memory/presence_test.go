package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/memory"
	"github.com/goyave-contrib/websocket/hub/internal/roster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNodeThatDoesNotRenewIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p memory.Presence[string]
		assert.Equal(t, roster.Lease{New: true, Nodes: []string{"one"}}, p.Renew("one", time.Minute))
		ann := roster.Entry{Key: "ann", Value: []byte{}}
		require.NoError(t, p.Put("lobby", "one", 1, []roster.Entry{ann}))
		time.Sleep(time.Minute - 1)
		assert.Equal(t, []roster.NodeEntries{{Node: "one", Revision: 1, Entries: []roster.Entry{ann}}}, p.List("lobby"))
		assert.Equal(t, roster.Lease{Nodes: []string{"one"}}, p.Renew("one", time.Minute))
		time.Sleep(time.Minute)
		assert.Empty(t, p.List("lobby"))
		assert.Equal(t, memory.ErrNoLease, p.Put("lobby", "one", 2, nil))
		assert.True(t, p.Renew("one", time.Minute).New)
		assert.Empty(t, p.List("lobby"), "nothing is left of what it had put")
	})
}

func TestOldRevisionChangesNothing(t *testing.T) {
	var p memory.Presence[string]
	p.Renew("one", time.Minute)
	put := func(revision uint64, key string, value []byte) {
		require.NoError(t, p.Put("lobby", "one", revision, []roster.Entry{{Key: key, Value: value}}))
	}
	put(2, "ann", []byte("new"))
	put(1, "ann", nil)
	assert.Equal(t, []map[string]uint64{{"one": 2}, nil}, p.Revisions([]string{"lobby", "elsewhere"}))
	put(3, "ann", nil)
	assert.Equal(t, []map[string]uint64{nil}, p.Revisions([]string{"lobby"}), "nobody is there")
	put(4, "ann", []byte("back"))
	p.Remove("one")
	p.Remove("unknown")
	assert.Empty(t, p.List("lobby"))
}
