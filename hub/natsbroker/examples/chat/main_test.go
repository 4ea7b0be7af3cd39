package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"testing"
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

func TestTwoNodes(t *testing.T) {
	t.Parallel()
	natsURL := startServer(t)
	one, two := startNode(t, "-nats", natsURL), startNode(t, "-nats", natsURL)
	ada, bob := join(t, one.url, "Ada", "lobby"), join(t, two.url, "Bob", "lobby")
	ada.sees("Ada", "Bob")
	bob.sees("Ada", "Bob")

	ada.says("hello, Bob")
	bob.hears("Ada", "hello, Bob")
	bob.says("hello, Ada")
	ada.hears("Bob", "hello, Ada")

	cid := join(t, one.url, "Cid", "lobby")
	cid.hears("Ada", "hello, Bob")
	cid.hears("Bob", "hello, Ada")
	for _, m := range []*member{ada, bob, cid} {
		m.sees("Ada", "Bob", "Cid")
	}
	bob.Close(ws.CloseNormalClosure, "")
	ada.sees("Ada", "Cid")
	cid.sees("Ada", "Cid")
}

// A page whose connection breaks time and again, and that comes back at another node each time, gets
// exactly what it has missed, and then what is live.
func TestResumeAtAnotherNode(t *testing.T) {
	t.Parallel()
	natsURL := startServer(t)
	nodes := []*process{startNode(t, "-nats", natsURL), startNode(t, "-nats", natsURL)}
	ada, bob := join(t, nodes[0].url, "Ada", "lobby"), join(t, nodes[1].url, "Bob", "lobby")
	ada.sees("Ada", "Bob")
	bob.sees("Ada", "Bob")
	for i := range 10 {
		first := 10*i + 1
		require.NoError(t, bob.NetConn().Close())
		ada.says(lines(first, first+5)...)
		bob = joinSince(t, nodes[i%2].url, "Bob", "lobby", bob.at)
		if i > 0 {
			bob.hears("Ada", lines(first, first+5)...)
		} else {
			bob.hears("Ada", lines(1, 6)...) // it had no position, and gets all that is kept
		}
		ada.says(lines(first+6, first+9)...)
		bob.hears("Ada", lines(first+6, first+9)...)
	}
	require.Equal(t, []string{"Ada", "Bob"}, ada.people)
}

// gone is how long the people of a node that has died are still shown: one and a quarter of the TTL,
// which is 15 seconds.
const gone = 15 * time.Second * 5 / 4

// A node is killed. One of its people comes back at the other node, and has missed nothing and never been
// away; the other one leaves in time, and comes back when the node is started again.
func TestNodeIsKilled(t *testing.T) {
	t.Parallel()
	natsURL := startServer(t)
	one, two := startNode(t, "-nats", natsURL), startNode(t, "-nats", natsURL)
	ada := join(t, one.url, "Ada", "lobby")
	bob, cid := join(t, two.url, "Bob", "lobby"), join(t, two.url, "Cid", "lobby")
	for _, m := range []*member{ada, bob, cid} {
		m.sees("Ada", "Bob", "Cid")
	}
	ada.says("line 1")
	bob.hears("Ada", "line 1")
	cid.hears("Ada", "line 1")

	two.kill()
	killed := time.Now()
	ada.says(lines(2, 6)...)
	bob = joinSince(t, one.url, "Bob", "lobby", bob.at)
	bob.hears("Ada", lines(2, 6)...)
	ada.says("line 7")
	bob.hears("Ada", "line 7")
	for slices.Contains(ada.people, "Cid") {
		require.NotContains(t, ada.next().Left, "Bob")
	}
	took := time.Since(killed)
	t.Log("Cid has left after", took)
	assert.Less(t, took, gone+5*time.Second, "with the time that a busy machine takes")
	require.Equal(t, []string{"Ada", "Bob"}, ada.people)
	bob.sees("Ada", "Bob")

	two = startNode(t, "-nats", natsURL)
	cid = joinSince(t, two.url, "Cid", "lobby", cid.at)
	cid.hears("Ada", lines(2, 7)...)
	cid.says("I am back")
	for _, m := range []*member{ada, bob} {
		m.hears("Cid", "I am back")
	}
	for _, m := range []*member{ada, bob, cid} {
		m.sees("Ada", "Bob", "Cid")
	}
}

// The node with the embedded NATS server is killed and started again. Meanwhile nothing can be said,
// and nobody can join; then all go on with what was said before.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	one := startNode(t, "-nats", "nats://127.0.0.1:0", "-embedded", folder)
	two := startNode(t, "-nats", one.nats)
	ada, bob, cid := join(t, one.url, "Ada", "lobby"), join(t, two.url, "Bob", "lobby"), join(t, two.url, "Cid", "lobby")
	for _, m := range []*member{ada, bob, cid} {
		m.sees("Ada", "Bob", "Cid")
	}
	ada.says("line 1")
	bob.hears("Ada", "line 1")
	cid.hears("Ada", "line 1")

	one.kill()
	bob.WriteText("is anybody there?")
	require.NoError(t, bob.SetReadDeadline(time.Now().Add(patience)))
	_, text, err := bob.ReadMessage()
	for ; err == nil; _, text, err = bob.ReadMessage() {
		require.NotContains(t, string(text), "anybody")
	}
	require.True(t, ws.IsCloseError(err, ws.CloseInternalServerErr), "%v", err)

	one = startNode(t, "-nats", one.nats, "-embedded", folder)
	one.await(t)
	two.await(t)
	ada, bob = joinSince(t, one.url, "Ada", "lobby", ada.at), joinSince(t, two.url, "Bob", "lobby", bob.at)
	ada.WriteText("line 2")
	var all [][]string // what Bob could not say may be there or not, but for all
	for _, m := range []*member{ada, bob, cid} {
		var heard []string
		for len(heard) == 0 || heard[len(heard)-1] != "line 2" {
			e := m.nextButPresence()
			require.Equal(t, "message", e.Type)
			heard = append(heard, e.Text)
		}
		all = append(all, heard)
	}
	require.Equal(t, all[0], all[1])
	require.Equal(t, all[0], all[2])
	for _, m := range []*member{ada, bob, cid} {
		m.sees("Ada", "Bob", "Cid")
	}
}

// NATS is started again and has lost its data: a page that comes back is told so.
func TestDataAreLost(t *testing.T) {
	t.Parallel()
	p := startNode(t, "-nats", "nats://127.0.0.1:0", "-embedded", t.TempDir())
	bob := join(t, p.url, "Bob", "lobby")
	bob.says("hello")

	p.kill()
	p = startNode(t, "-nats", p.nats, "-embedded", t.TempDir())
	p.await(t)
	ada := join(t, p.url, "Ada", "lobby")
	ada.says("is it new?")
	bob = joinSince(t, p.url, "Bob", "lobby", bob.at)
	bob.expectLost()
	bob.hears("Ada", "is it new?")
	bob.sees("Ada", "Bob")
	ada.sees("Ada", "Bob")
}

// A node may be started before NATS.
func TestServerComesLater(t *testing.T) {
	t.Parallel()
	natsURL := nobody(t)
	p := startNode(t, "-nats", natsURL)
	startServer(t, natsURL)
	p.await(t)
	ada := join(t, p.url, "Ada", "lobby")
	ada.sees("Ada")
	ada.says("hello")
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	p := startNode(t, "-nats", "nats://127.0.0.1:0", "-embedded", t.TempDir())
	ada := join(t, p.url, "Ada", "lobby")
	ada.sees("Ada")
	require.NoError(t, p.Process.Signal(os.Interrupt))
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	<-p.said
	require.NoError(t, p.Wait(), "the exit status is 0")
}

func TestPage(t *testing.T) {
	t.Parallel()
	p := startNode(t, "-nats", startServer(t))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
	page, err := os.ReadFile("index.html")
	require.NoError(t, err)
	assert.Equal(t, string(page), string(body))
}
