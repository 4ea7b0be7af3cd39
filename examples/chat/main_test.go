package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the example in this process, on a free port, until stop is called or the test ends.
func start(t *testing.T) (address string, stop func()) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, run(ctx, listener, NewChat(nil)))
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return "http://" + listener.Addr().String(), stop
}

// serve serves a chat in memory, for a bubble of synctest.
func serve(t *testing.T) *wstest.Server {
	t.Helper()
	chat := NewChat(nil)
	upgrader := websocket.New(chat)
	network := wstest.Serve(t, upgrader)
	t.Cleanup(func() {
		assert.NoError(t, upgrader.Shutdown(context.Background()))
		assert.NoError(t, chat.hub.Shutdown(context.Background()))
	})
	return network
}

// check makes the request that the page makes before it joins.
func check(name, room string) string {
	return "/chat/check?" + url.Values{"name": {name}, "room": {room}}.Encode()
}

func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(content)
}

func TestRoomsKnowNothingOfEachOther(t *testing.T) {
	address, _ := start(t)
	ada, bob := join(t, address, "Ada", "lobby"), join(t, address, "Bob", "cellar")
	ada.sees("Ada")
	bob.sees("Bob")
	bob.says("nobody hears me")
	ada.says("who is there?") // the first event for Ada since she is there
	require.Equal(t, []string{"Ada"}, ada.people)
	require.Equal(t, []string{"Bob"}, bob.people)
}

// Invalid names are refused before the upgrade, and the page can ask for the reason.
func TestNamesAndRoomsThatAreNotTaken(t *testing.T) {
	address, _ := start(t)
	long := strings.Repeat("a", 21)
	for _, tt := range []struct{ name, member, room string }{
		{name: "no name", room: "lobby"},
		{name: "no room", member: "Ada"},
		{name: "a long name", member: long, room: "lobby"},
		{name: "a long room", member: "Ada", room: long},
		{name: "markup", member: "<b>", room: "lobby"},
		{name: "spaces", member: "  ", room: "lobby"},
		{name: "a space before it", member: " Ada", room: "lobby"},
		{name: "a line's end", member: "Ada\n", room: "lobby"},
		{name: "what turns text around", member: "Ada\u202e", room: "lobby"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response := wstest.DialRefused(t, address, path(tt.member, tt.room), options)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
			status, reason := get(t, address+check(tt.member, tt.room))
			assert.Equal(t, http.StatusUnprocessableEntity, status)
			assert.Equal(t, "a name and a room have 1 to 20 letters, digits, punctuation marks or spaces each\n", reason)
		})
	}
}

// What a page has not received from the server is no position.
func TestPositionsThatAreNotTaken(t *testing.T) {
	address, _ := start(t)
	for _, since := range []string{"1", "x", "-", "01-QQ", "-1-QQ", "1-!", "1-" + strings.Repeat("a", 1000), "99999999999999999999-QQ"} {
		t.Run(since, func(t *testing.T) {
			query := "&" + url.Values{"since": {since}}.Encode()
			response := wstest.DialRefused(t, address, path("Ada", "lobby")+query, options)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
			status, _ := get(t, address+check("Ada", "lobby")+query)
			assert.Equal(t, http.StatusUnprocessableEntity, status)
		})
	}
}

// Names may have letters of any language.
func TestNamesThatAreTaken(t *testing.T) {
	address, _ := start(t)
	for _, name := range []string{"O'Brien", "O’Brien", "Zoë", "Zoe\u0308", "Anne-Marie", "J. R. R.", "Renée & Bob", "陈", "नेहा", "🙂", "007", strings.Repeat("é", 20)} {
		t.Run(name, func(t *testing.T) {
			status, reason := get(t, address+check(name, name))
			assert.Equal(t, http.StatusNoContent, status, reason)
			join(t, address, name, name).sees(name)
		})
	}
}

func TestLongMessageEndsItsSender(t *testing.T) {
	address, _ := start(t)
	bob := join(t, address, "Bob", "lobby")
	bob.sees("Bob")
	bob.WriteText(strings.Repeat("a", 2049))
	_, _, err := bob.ReadMessage()
	require.True(t, ws.IsCloseError(err, ws.CloseMessageTooBig), "%v", err)
}

// At shutdown, all members of all rooms get a close frame.
func TestShutdown(t *testing.T) {
	address, stop := start(t)
	ada, bob := join(t, address, "Ada", "lobby"), join(t, address, "Bob", "cellar")
	ada.sees("Ada")
	bob.sees("Bob")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	bob.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	<-stopped
	_, err := net.DialTimeout("tcp", strings.TrimPrefix(address, "http://"), patience)
	require.Error(t, err, "nobody listens any more")
}

func TestPage(t *testing.T) {
	address, _ := start(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Contains(t, response.Header.Get("Content-Type"), "text/html")
	assert.Contains(t, string(body), "new WebSocket(")
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url(", "innerHTML"} {
		assert.NotContains(t, string(body), outside)
	}
}

var listening = regexp.MustCompile(`listening on (http://127\.0\.0\.1:[1-9][0-9]*)\n$`)

// After Ctrl-C in the compiled example, every member gets a close frame, and the exit status is 0.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	binary := filepath.Join(t.TempDir(), "chat")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)

	command := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0")
	stderr, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() }) // it fails if the process has ended, as expected
	line := make([]byte, 256)
	n, err := stderr.Read(line)
	require.NoError(t, err)
	match := listening.FindStringSubmatch(string(line[:n]))
	require.NotNil(t, match, "the line is %q", line[:n])

	ada := join(t, match[1], "Ada", "lobby")
	ada.sees("Ada")
	require.NoError(t, command.Process.Signal(os.Interrupt))
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	require.NoError(t, command.Wait(), "the exit status is 0")
}
