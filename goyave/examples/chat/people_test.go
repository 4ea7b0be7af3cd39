package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// grace is how long a person stays whose last connection has ended.
const grace = 5 * time.Second

// Many who come and go at once are all told of.
func TestManyPeopleAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada := join(t, network, "Ada")
		all := []string{"Ada"}
		var others []*member
		for i := range 30 {
			name := fmt.Sprintf("Bob %d", i)
			all = append(all, name)
			others = append(others, join(t, network, name))
		}
		slices.Sort(all)
		ada.sees(all...)
		for _, m := range others {
			m.sees(all...)
			require.NoError(t, m.NetConn().Close())
		}
		ada.sees("Ada")
	})
}

// Several tabs of one name are one person, who leaves with the last one.
func TestTwoTabsAreOnePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, first := join(t, network, "Ada"), join(t, network, "Bob")
		ada.sees("Ada", "Bob")
		first.sees("Ada", "Bob")
		second := join(t, network, "Bob")
		second.sees("Ada", "Bob")
		ada.expectQuiet(2 * grace)
		second.says("I have two tabs")
		first.hears("Bob", "I have two tabs")
		ada.hears("Bob", "I have two tabs")

		first.Close(ws.CloseGoingAway, "")
		ada.expectQuiet(2 * grace)
		left := time.Now()
		second.Close(ws.CloseGoingAway, "")
		ada.sees("Ada")
		assert.Equal(t, grace, time.Since(left))
	})
}

// Nobody is told of a reload, unless it takes too long.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, bob := join(t, network, "Ada"), join(t, network, "Bob")
		ada.sees("Ada", "Bob")
		for range 3 {
			bob.Close(ws.CloseGoingAway, "")
			ada.expectQuiet(grace - 1)
			bob = join(t, network, "Bob")
			bob.sees("Ada", "Bob")
			ada.expectQuiet(2 * grace)
		}
		bob.Close(ws.CloseGoingAway, "")
		ada.sees("Ada")
		join(t, network, "Bob").sees("Ada", "Bob")
		ada.sees("Ada", "Bob")
	})
}
