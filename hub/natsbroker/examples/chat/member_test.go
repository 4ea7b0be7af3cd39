package main

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is a limit that is generous even on a slow machine.
const patience = 30 * time.Second

var options = &wstest.Options{Timeout: patience}

func path(name, room string) string {
	return "/chat?" + url.Values{"name": {name}, "room": {room}}.Encode()
}

// A member knows what a page knows.
type member struct {
	*wstest.Client
	t      *testing.T
	name   string
	people []string // the names in the room, sorted
	at     string   // the position of the last message
}

// join connects a member without a position.
func join(t *testing.T, target any, name, room string) *member {
	t.Helper()
	return joinSince(t, target, name, room, "")
}

// joinSince connects a member, as a page does that has received the message at a position.
func joinSince(t *testing.T, target any, name, room, since string) *member {
	t.Helper()
	query := "&" + url.Values{"since": {since}}.Encode()
	return &member{Client: wstest.Dial(t, target, path(name, room)+query, options), t: t, name: name, at: since}
}

// next returns the next event.
func (m *member) next() event {
	m.t.Helper()
	require.NoError(m.t, m.SetReadDeadline(time.Now().Add(2*patience)))
	text := []byte{}
	for len(text) == 0 { // a sign of life
		var err error
		_, text, err = m.ReadMessage()
		require.NoError(m.t, err)
	}
	var e event
	require.NoError(m.t, json.Unmarshal(text, &e), "%s", text)
	switch e.Type {
	case "here":
		m.people = e.People
	case "changes":
		for _, name := range e.Joined {
			assert.NotContains(m.t, m.people, name, "%s", text)
		}
		for _, name := range e.Left {
			assert.Contains(m.t, m.people, name, "%s", text)
		}
		m.people = slices.DeleteFunc(append(m.people, e.Joined...), func(name string) bool { return slices.Contains(e.Left, name) })
		slices.Sort(m.people)
	case "message":
		require.NotEqual(m.t, hub.Position{}, e.At, "%s", text)
		m.at = e.At.String()
	case "lost":
	default:
		require.Fail(m.t, "unknown event", "%s", text)
	}
	return e
}

// sees reads until the given people are in the room. Nothing is said until then.
func (m *member) sees(people ...string) {
	m.t.Helper()
	for !slices.Equal(people, m.people) {
		e := m.next()
		require.NotEqual(m.t, "message", e.Type, "%+v", e)
	}
}

// nextButPresence returns the next event that is not about who is here.
func (m *member) nextButPresence() event {
	m.t.Helper()
	for {
		if e := m.next(); e.People == nil && e.Joined == nil {
			return e
		}
	}
}

// hears expects the given messages, with presence in between.
func (m *member) hears(name string, texts ...string) {
	m.t.Helper()
	for _, text := range texts {
		e := m.nextButPresence()
		require.Equal(m.t, []string{"message", name, text}, []string{e.Type, e.Name, e.Text})
	}
}

// says sends messages, and waits for each.
func (m *member) says(texts ...string) {
	m.t.Helper()
	for _, text := range texts {
		m.WriteText(text)
		m.hears(m.name, text)
	}
}

// expectLost expects to be told that messages were missed.
func (m *member) expectLost() {
	m.t.Helper()
	require.Equal(m.t, event{Type: "lost"}, m.nextButPresence())
}
