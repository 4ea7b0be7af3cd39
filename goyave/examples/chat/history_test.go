package main

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines returns the lines from a number to another.
func lines(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf("line %d", i))
	}
	return list
}

// A later member gets the last 100 messages of the room, for a day, even if the room was empty.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada := join(t, network, "Ada")
		ada.says(lines(1, 105)...)
		ada.Close(ws.CloseNormalClosure, "")

		time.Sleep(24*time.Hour - 1)
		bob := join(t, network, "Bob")
		bob.hears("Ada", lines(6, 105)...)
		bob.says("am I late?")
		bob.Close(ws.CloseNormalClosure, "")
		time.Sleep(time.Second)
		cid := join(t, network, "Cid")
		cid.hears("Bob", "am I late?")
	})
}

// A page that was away gets exactly what it has missed, and then what is live.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, bob := join(t, network, "Ada"), join(t, network, "Bob")
		ada.says(lines(1, 3)...)
		bob.hears("Ada", lines(1, 3)...)
		for i := 4; i < 100; i += 10 {
			require.NoError(t, bob.NetConn().Close())
			ada.says(lines(i, i+5)...)
			bob = joinSince(t, network, "Bob", bob.at)
			bob.hears("Ada", lines(i, i+5)...)
			ada.says(lines(i+6, i+9)...)
			bob.hears("Ada", lines(i+6, i+9)...)
		}
		bob.Close(ws.CloseNormalClosure, "")
		bob = joinSince(t, network, "Bob", bob.at) // which has missed nothing
		bob.says("I am back")
		ada.hears("Bob", "I am back")
		assert.Equal(t, []string{"Ada", "Bob"}, ada.people)
	})
}

// A page that has missed more than is kept is told so, gets what is kept, and resumes from there.
func TestMessagesThatAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, bob := join(t, network, "Ada"), join(t, network, "Bob")
		ada.sees("Ada", "Bob")
		ada.says("line 0")
		bob.hears("Ada", "line 0")
		require.NoError(t, bob.NetConn().Close())
		ada.says(lines(1, 101)...)
		bob = joinSince(t, network, "Bob", bob.at)
		bob.expectLost()
		bob.hears("Ada", lines(2, 101)...)
		bob.sees("Ada", "Bob")
		ada.expectQuiet(2 * grace) // Bob was never away
		bob.Close(ws.CloseGoingAway, "")
		bob = joinSince(t, network, "Bob", bob.at)
		bob.says("I am back")
	})
}
