package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var options = &wstest.Options{Timeout: 30 * time.Second}

func newAuth() *Auth {
	return &Auth{rooms: hub.New(hub.Options{}), tokens: issuer{key: []byte("a key")}, password: "secret", lifetime: time.Hour}
}

// endpoint serves connections as run does.
func endpoint(auth *Auth) *websocket.Upgrader {
	upgrader := websocket.New(auth)
	upgrader.MaxMessageSize = maxHello
	return upgrader
}

func first(t *testing.T, token string) string {
	t.Helper()
	message, err := json.Marshal(hello{Token: token})
	require.NoError(t, err)
	return string(message)
}

func TestTokens(t *testing.T) {
	tokens := issuer{key: []byte("a key")}
	tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	user, expires, err := tokens.check(tokens.issue("Ada L. 🙂", tomorrow))
	require.NoError(t, err)
	assert.Equal(t, "Ada L. 🙂", user)
	assert.Equal(t, tomorrow, expires)

	good := tokens.issue("Ada", tomorrow)
	others := issuer{key: []byte("another key")}
	for name, token := range map[string]string{
		"nothing":            "",
		"dots":               "...",
		"no signature":       good[:strings.LastIndexByte(good, '.')],
		"an empty signature": good[:strings.LastIndexByte(good, '.')+1],
		"another user":       strings.Replace(good, "QWRh", "QmVu", 1),
		"another key":        others.issue("Ada", tomorrow),
		"expired":            tokens.issue("Ada", time.Now().Add(-time.Second)),
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, good, token)
			_, _, err := tokens.check(token)
			require.ErrorIs(t, err, errToken)
		})
	}
}

func TestFirstMessagesThatAreNotTaken(t *testing.T) {
	auth := newAuth()
	for _, tt := range []struct {
		name, message string
		code          int
		reason        string
	}{
		{name: "no JSON", message: "hello", code: closeUnauthorized, reason: "the first message has no token"},
		{name: "no token", message: "{}", code: closeUnauthorized, reason: "the token is not valid"},
		{name: "a token that was made up", message: first(t, "QWRh.9999999999.c2ln"), code: closeUnauthorized, reason: "the token is not valid"},
		{name: "more than a token", message: first(t, strings.Repeat("a", maxHello)), code: ws.CloseMessageTooBig, reason: "message too big"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := wstest.Dial(t, endpoint(auth), "/", options)
			client.WriteText(tt.message)
			client.ExpectClose(tt.code, tt.reason)
		})
	}
}

func TestSilentClientIsClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connected := time.Now()
		client := wstest.Dial(t, endpoint(newAuth()), "/", options)
		client.ExpectClose(closeTooLate, "no token in time")
		assert.Equal(t, helloTimeout, time.Since(connected))
	})
}

func TestConnectionDoesNotOutliveItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newAuth()
		expires := time.Now().Add(time.Minute)
		client := wstest.Dial(t, endpoint(auth), "/", &wstest.Options{Timeout: time.Hour})
		client.WriteText(first(t, auth.tokens.issue("Ada", expires)))
		client.ExpectText("welcome, Ada")
		time.Sleep(50 * time.Second) // far longer than the first message may take
		client.WriteText(strings.Repeat("a", 2*maxHello))
		client.ExpectText("Ada: " + strings.Repeat("a", 2*maxHello))
		client.ExpectClose(closeUnauthorized, "the token has expired")
		assert.Equal(t, expires, time.Now())
	})
}

// login asks the server for a first message.
func login(t *testing.T, address, name, password string) (status int, answer string) {
	t.Helper()
	return testws.Post(t, address+"/login", url.Values{"name": {name}, "password": {password}})
}

// As its users run it.
func TestProcess(t *testing.T) {
	program := testws.StartProgram(t, "-addr", "127.0.0.1:0", "-password", "secret")
	address := program.URL()
	for _, wrong := range [][2]string{{"Ada", "guess"}, {"Ada", ""}, {"", "secret"}} {
		status, _ := login(t, address, wrong[0], wrong[1])
		assert.Equal(t, http.StatusUnauthorized, status, "%q", wrong)
	}

	status, served := testws.Get(t, address+"/")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, served, `connect("/talk", {`)
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url(", "innerHTML"} {
		assert.NotContains(t, served, outside)
	}

	stranger := wstest.Dial(t, address, "/talk", options)
	stranger.WriteText(`{"token":"a guess"}`)
	stranger.ExpectClose(closeUnauthorized, "the token is not valid")

	ada, bob := enter(t, address, "Ada"), enter(t, address, "Bob")
	ada.ExpectText("Bob: I am here")
	ada.WriteText("welcome, Bob")
	ada.ExpectText("Ada: welcome, Bob")
	bob.ExpectText("Ada: welcome, Bob")

	program.Interrupt()
	for _, client := range []*wstest.Client{ada, bob} {
		client.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	}
	program.ExpectExit(0)
}

// enter logs in, connects, and returns when the client is in the room.
func enter(t *testing.T, address, name string) *wstest.Client {
	t.Helper()
	status, message := login(t, address, name, "secret")
	require.Equal(t, http.StatusOK, status, message)
	client := wstest.Dial(t, address, "/talk", options)
	client.WriteText(message)
	client.ExpectText("welcome, " + name)
	client.WriteText("I am here")
	client.ExpectText(name + ": I am here")
	return client
}
