package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// grace is how long a person stays whose last connection has ended.
const grace = 5 * time.Second

// The page reads these names.
func TestEventsOfPresence(t *testing.T) {
	ada, bob := hub.Person{Key: "Ada"}, hub.Person{Key: `"Bob"`}
	for _, tt := range []struct {
		message hub.Message
		want    string
	}{
		{here("lobby", nil), `{"type":"here","people":[]}`},
		{here("lobby", []hub.Person{ada, bob}), `{"type":"here","people":["Ada","\"Bob\""]}`},
		{changes("lobby", []hub.PresenceChange{{Kind: hub.PersonJoined, Person: ada}}), `{"type":"changes","joined":["Ada"],"left":[]}`},
		{
			changes("lobby", []hub.PresenceChange{{Kind: hub.PersonLeft, Person: ada}, {Kind: hub.PersonJoined, Person: bob}}),
			`{"type":"changes","joined":["\"Bob\""],"left":["Ada"]}`,
		},
	} {
		assert.Equal(t, tt.want, string(tt.message.Data()))
	}
}

func TestMembersSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada := join(t, network, "Ada", "lobby")
		ada.sees("Ada")
		grace := join(t, network, "Grace Hopper", "lobby")
		grace.sees("Ada", "Grace Hopper")
		ada.sees("Ada", "Grace Hopper")

		grace.says(`hello "you"`)
		ada.hears("Grace Hopper", `hello "you"`)

		left := time.Now()
		grace.Close(ws.CloseNormalClosure, "bye")
		ada.sees("Ada")
		assert.Equal(t, 5*time.Second, time.Since(left))
		lukasz := join(t, network, "Łukasz", "lobby")
		lukasz.hears("Grace Hopper", `hello "you"`)
		lukasz.sees("Ada", "Łukasz")
		ada.sees("Ada", "Łukasz")
	})
}

// Many who come and go at once are all told of.
func TestManyPeopleAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada := join(t, network, "Ada", "lobby")
		all := []string{"Ada"}
		var others []*member
		for i := range 30 {
			name := fmt.Sprintf("Bob %d", i)
			all = append(all, name)
			others = append(others, join(t, network, name, "lobby"))
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
		ada, first := join(t, network, "Ada", "lobby"), join(t, network, "Bob", "lobby")
		ada.sees("Ada", "Bob")
		first.sees("Ada", "Bob")
		second := join(t, network, "Bob", "lobby")
		second.sees("Ada", "Bob")
		ada.ExpectNothing(2 * grace)
		second.says("I have two tabs")
		first.hears("Bob", "I have two tabs")
		ada.hears("Bob", "I have two tabs")

		first.Close(ws.CloseGoingAway, "")
		ada.ExpectNothing(2 * grace)
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
		ada, bob := join(t, network, "Ada", "lobby"), join(t, network, "Bob", "lobby")
		ada.sees("Ada", "Bob")
		for range 3 {
			bob.Close(ws.CloseGoingAway, "")
			ada.ExpectNothing(grace - 1)
			bob = join(t, network, "Bob", "lobby")
			bob.sees("Ada", "Bob")
			ada.ExpectNothing(2 * grace)
		}
		bob.Close(ws.CloseGoingAway, "")
		ada.sees("Ada")
		join(t, network, "Bob", "lobby").sees("Ada", "Bob")
		ada.sees("Ada", "Bob")
	})
}

func TestConnectionThatBreaksIsAMemberThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, bob := join(t, network, "Ada", "lobby"), join(t, network, "Bob", "lobby")
		ada.sees("Ada", "Bob")
		broken := time.Now()
		require.NoError(t, bob.NetConn().Close())
		ada.sees("Ada")
		assert.Equal(t, grace, time.Since(broken))
	})
}

// A member that disconnects without a close frame leaves when it has not answered a ping.
func TestMemberThatVanishesLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada := join(t, network, "Ada", "lobby")
		ada.sees("Ada")
		vanished := time.Now()
		wstest.DialRaw(t, network, path("Bob", "lobby"), options)
		ada.sees("Ada", "Bob")
		ada.sees("Ada") // reading also answers pings
		assert.Equal(t, 40*time.Second+grace, time.Since(vanished))
	})
}
