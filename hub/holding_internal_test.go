package hub

import (
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A member that leaves while it is held gets nothing of the history that no pass has brought it, and
// everything else.
func TestHeldMemberLeaves(t *testing.T) {
	h := New(Options{History: &HistoryOptions{Rooms: func(string) Keep { return Keep{Messages: 10} }}})
	join := func() (*wstest.Client, *Member) {
		client, conn := wstest.Pair(t, websocket.Options{})
		m, err := h.Join(conn)
		require.NoError(t, err)
		require.NoError(t, m.JoinContext(t.Context(), "lobby"))
		return client, m
	}
	other, stuck := join()
	go testws.Drain(other)
	client, m := join()
	ms := m.memberships.get(lobby)
	m.mu.Lock()
	m.holdLocked(ms, nil)
	m.mu.Unlock()

	stuck.mu.Lock() // which blocks the passes
	sent := make(chan error, 1)
	go func() { sent <- h.To(lobby).Send(Text("of the history")) }()
	g := h.group(lobby)
	require.Eventually(t, func() bool { return g.undelivered(ms) != nil }, 20*time.Second, time.Millisecond)
	h.deliver(h.To(lobby), Text("of another program")) // as receive does
	m.mu.Lock()
	list := oneOrNone(ms)
	m.enqueueUndelivered(h.removeMember(m, list))
	m.unhold(list)
	m.forget(list)
	m.mu.Unlock()
	stuck.mu.Unlock()
	require.NoError(t, <-sent)
	require.NoError(t, m.Send(Text("next")))
	client.ExpectText("of another program")
	client.ExpectText("next")
	assert.Empty(t, g.follower.held)
}
