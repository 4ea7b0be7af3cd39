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

func TestMessage(t *testing.T) {
	address, _ := start(t)
	ada := join(t, address, "Ada", "lobby")
	ada.sees("Ada")
	ada.WriteText("") // which nobody hears
	ada.WriteText(`<b> "you"`)
	_, text, err := ada.ReadMessage()
	require.NoError(t, err)
	assert.Regexp(t, `^\{"type":"message","name":"Ada","text":"\\u003cb\\u003e \\"you\\"","at":"1-[A-Za-z0-9_-]+"\}$`, string(text))
}

// A later member gets the last 100 messages of the room, for a day, even if the room was empty.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada := join(t, network, "Ada", "lobby")
		ada.says(lines(1, 105)...)
		ada.Close(ws.CloseNormalClosure, "")

		time.Sleep(24*time.Hour - 1)
		bob := join(t, network, "Bob", "lobby")
		bob.hears("Ada", lines(6, 105)...)
		bob.says("am I late?")
		bob.Close(ws.CloseNormalClosure, "")
		time.Sleep(time.Second)
		cid := join(t, network, "Cid", "lobby")
		cid.hears("Bob", "am I late?")
		join(t, network, "Dan", "cellar").says("it is quiet here") // the history of another room
	})
}

// A page that was away gets exactly what it has missed, and then what is live.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, bob := join(t, network, "Ada", "lobby"), join(t, network, "Bob", "lobby")
		ada.says(lines(1, 3)...)
		bob.hears("Ada", lines(1, 3)...)
		for i := 4; i < 100; i += 10 {
			require.NoError(t, bob.NetConn().Close())
			ada.says(lines(i, i+5)...)
			bob = joinSince(t, network, "Bob", "lobby", bob.at)
			bob.hears("Ada", lines(i, i+5)...)
			ada.says(lines(i+6, i+9)...)
			bob.hears("Ada", lines(i+6, i+9)...)
		}
		bob.Close(ws.CloseNormalClosure, "")
		bob = joinSince(t, network, "Bob", "lobby", bob.at) // which has missed nothing
		bob.says("I am back")
		ada.hears("Bob", "I am back")
		assert.Equal(t, []string{"Ada", "Bob"}, ada.people)
	})
}

// A page that has missed more than is kept is told so, gets what is kept, and resumes from there.
func TestMessagesThatAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serve(t)
		ada, bob := join(t, network, "Ada", "lobby"), join(t, network, "Bob", "lobby")
		ada.sees("Ada", "Bob")
		ada.says("line 0")
		bob.hears("Ada", "line 0")
		require.NoError(t, bob.NetConn().Close())
		ada.says(lines(1, 101)...)
		bob = joinSince(t, network, "Bob", "lobby", bob.at)
		bob.expectLost()
		bob.hears("Ada", lines(2, 101)...)
		bob.sees("Ada", "Bob")
		ada.ExpectNothing(2 * grace) // Bob was never away
		bob.Close(ws.CloseGoingAway, "")
		bob = joinSince(t, network, "Bob", "lobby", bob.at)
		bob.says("I am back")
	})
}

// A page comes back to a server that was started again, and has forgotten all.
func TestServerIsStartedAgain(t *testing.T) {
	address, stop := start(t)
	bob := join(t, address, "Bob", "lobby")
	bob.says("hello")
	stop()
	address, _ = start(t)
	ada := join(t, address, "Ada", "lobby")
	ada.says("is it new?")
	bob = joinSince(t, address, "Bob", "lobby", bob.at)
	bob.expectLost()
	bob.hears("Ada", "is it new?")
	bob.sees("Ada", "Bob")
	ada.sees("Ada", "Bob")
}
