package redisbroker_test

import (
	"bufio"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// change makes the changes of a diff: each hunk is in the text once.
func change(t *testing.T, text, diff string) string {
	t.Helper()
	for hunk := range strings.SplitSeq(diff, "@@\n") {
		var before, after strings.Builder
		for line := range strings.Lines(hunk) {
			if line[0] != '+' {
				before.WriteString(line[1:])
			}
			if line[0] != '-' {
				after.WriteString(line[1:])
			}
		}
		require.Equal(t, 1, strings.Count(text, before.String()), "%s", hunk)
		text = strings.Replace(text, before.String(), after.String(), 1)
	}
	return text
}

// buildChat returns the program that examples/chat is after the changes of README.md. It is a package in an
// overlay, so that nothing is written into the repository.
func buildChat(t *testing.T) (binary string) {
	t.Helper()
	here, err := os.Getwd()
	require.NoError(t, err)
	example := filepath.Join(here, "../../examples/chat")
	source, err := os.ReadFile(filepath.Join(example, "main.go"))
	require.NoError(t, err)
	temp := t.TempDir()
	changed := filepath.Join(temp, "main.go")
	require.NoError(t, os.WriteFile(changed, []byte(change(t, string(source), snippets(t, "diff")[0])), 0o600))
	folder := filepath.Join(here, "chat")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(folder, "main.go"):    changed,
		filepath.Join(folder, "chat.go"):    filepath.Join(example, "chat.go"),
		filepath.Join(folder, "index.html"): filepath.Join(example, "index.html"),
	}})
	require.NoError(t, err)
	overlaid := filepath.Join(temp, "overlay.json")
	require.NoError(t, os.WriteFile(overlaid, overlay, 0o600))
	binary = filepath.Join(temp, "program")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-overlay="+overlaid, "-o", binary, "./chat").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}

var chatListens = regexp.MustCompile(`listening on (http://127\.0\.0\.1:[1-9][0-9]*)$`)

// startChat starts a process of the chat, and returns its address and what kills it.
func startChat(t *testing.T, binary, redisAddr string) (address string, kill func()) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0", "-redis", redisAddr)
	stderr, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	addresses, said := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(said)
		defer close(addresses)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			t.Log(lines.Text())
			if match := chatListens.FindStringSubmatch(lines.Text()); match != nil {
				addresses <- match[1]
			}
		}
	}()
	kill = func() {
		_ = command.Process.Kill() // it fails if the process has ended
		<-said
		_ = command.Wait()
	}
	t.Cleanup(kill)
	select {
	case address = <-addresses:
		require.NotEmpty(t, address, "it says nothing")
	case <-time.After(patience):
		require.FailNow(t, "it does not say where it listens")
	}
	return address, kill
}

// A chatter is what a page of the chat is.
type chatter struct {
	*wstest.Client
	t      *testing.T
	people []string // the names in the room, sorted
	at     string   // the position of the last message
}

func joinChat(t *testing.T, address, name, since string) *chatter {
	t.Helper()
	path := "/chat?" + url.Values{"name": {name}, "room": {"lobby"}, "since": {since}}.Encode()
	return &chatter{Client: wstest.Dial(t, address, path, &wstest.Options{Timeout: patience}), t: t, at: since}
}

// next returns what was said, nothing for an event of another kind.
func (c *chatter) next() (name, text string) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(2*patience)))
	_, data, err := c.ReadMessage()
	require.NoError(c.t, err)
	if len(data) == 0 { // a sign of life
		return "", ""
	}
	var e struct {
		Type, Name, Text, At string
		People, Joined, Left []string
	}
	require.NoError(c.t, json.Unmarshal(data, &e), "%s", data)
	switch e.Type {
	case "here":
		c.people = e.People
	case "changes":
		c.people = slices.DeleteFunc(append(c.people, e.Joined...), func(name string) bool { return slices.Contains(e.Left, name) })
		slices.Sort(c.people)
	case "message":
		c.at = e.At
	default:
		require.Fail(c.t, "unexpected", "%s", data)
	}
	return e.Name, e.Text
}

func (c *chatter) sees(people ...string) {
	c.t.Helper()
	for !slices.Equal(people, c.people) {
		_, text := c.next()
		require.Empty(c.t, text)
	}
}

func (c *chatter) hears(name string, texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		from, text := c.next()
		for text == "" {
			from, text = c.next()
		}
		require.Equal(c.t, []string{name, want}, []string{from, text})
	}
}

func (c *chatter) says(name string, texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		c.WriteText(text)
		c.hears(name, text)
	}
}

// The chat that README.md makes of examples/chat is one chat at two nodes. One of them is killed: who comes
// to the other one has missed nothing, and who does not has left in time.
func TestChat(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	binary := buildChat(t)
	one, _ := startChat(t, binary, s.addr())
	two, kill := startChat(t, binary, s.addr())
	ada, bob, cid := joinChat(t, one, "Ada", ""), joinChat(t, two, "Bob", ""), joinChat(t, two, "Cid", "")
	for _, c := range []*chatter{ada, bob, cid} {
		c.sees("Ada", "Bob", "Cid")
	}
	ada.says("Ada", "hello")
	bob.hears("Ada", "hello")
	cid.hears("Ada", "hello")
	bob.says("Bob", "hello, Ada")
	ada.hears("Bob", "hello, Ada")

	kill()
	killed := time.Now()
	missed := []string{"one", "two", "three"}
	ada.says("Ada", missed...)
	bob = joinChat(t, one, "Bob", bob.at)
	bob.hears("Ada", missed...)
	for slices.Contains(ada.people, "Cid") {
		ada.next()
		require.Contains(t, ada.people, "Bob")
	}
	const ttl = 15 * time.Second
	assert.Less(t, time.Since(killed), ttl*5/4+5*time.Second, "with the time that a busy machine takes")
	require.Equal(t, []string{"Ada", "Bob"}, ada.people)
	bob.says("Bob", "where is Cid?")
	ada.hears("Bob", "where is Cid?")
}
