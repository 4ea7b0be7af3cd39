package hub

import (
	"context"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type claimController struct {
	hub  *Hub
	test func(m *Member)
}

func (ctrl *claimController) Serve(conn *websocket.Conn, _ *http.Request) error {
	m, err := ctrl.hub.Join(conn)
	if err == nil {
		ctrl.test(m)
	}
	return err
}

// A key counts as taken until the member has another one, or none.
func TestClaimEndsWithTheKey(t *testing.T) {
	h := New(Options{})
	ctx := context.Background()
	isTaken := func(m *Member, key string) bool { return h.claims.Of(m, key).Time != 0 }
	ctrl := &claimController{hub: h, test: func(m *Member) {
		assert.NoError(t, m.TakeKey(ctx, "ann", 4001, ""))
		assert.NoError(t, m.SetKey("ann"))
		assert.True(t, isTaken(m, "ann"), "the same key")
		assert.NoError(t, m.SetKey(""))
		assert.NoError(t, m.SetKey("ann"))
		assert.False(t, isTaken(m, "ann"), "after no key")

		assert.NoError(t, m.TakeKey(ctx, "ann", 4001, ""))
		assert.NoError(t, m.TakeKey(ctx, "ann", 4001, ""))
		assert.Equal(t, 1, h.claims.Len())
		assert.NoError(t, m.TakeKey(ctx, "bob", 4001, ""))
		assert.False(t, isTaken(m, "ann"), "after another key")
		assert.True(t, isTaken(m, "bob"))
	}}
	wstest.Dial(t, websocket.New(ctrl), "/", nil).ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	require.NoError(t, h.Shutdown(ctx))
	assert.Zero(t, h.claims.Len())
}
