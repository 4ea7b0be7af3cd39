package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is a limit that is generous even on a slow machine.
const patience = 30 * time.Second

var (
	listening = regexp.MustCompile(`^listening on (http://127\.0\.0\.1:[1-9][0-9]*)\n$`)
	options   = &wstest.Options{Timeout: patience}
)

// start runs the application in this process, on a free port, until the test ends.
func start(t *testing.T) (address string) {
	t.Helper()
	reader, writer := io.Pipe()
	server, err := newServer(0, writer)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Start() }()
	t.Cleanup(func() {
		server.Stop()
		assert.NoError(t, <-ended)
	})
	return readURL(t, reader)
}

func readURL(t *testing.T, stdout io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	match := listening.FindStringSubmatch(line)
	require.NotNil(t, match, "the line is %q", line)
	return match[1]
}

func path(name string) string { return "/chat?" + url.Values{"name": {name}}.Encode() }

func TestJoinTalkLeave(t *testing.T) {
	address := start(t)
	ada := join(t, address, "Ada")
	ada.sees("Ada")
	grace := join(t, address, "Grace Hopper")
	grace.sees("Ada", "Grace Hopper")
	ada.sees("Ada", "Grace Hopper")

	grace.WriteText(" hello \"you\" ")
	ada.hears("Grace Hopper", `hello "you"`)
	grace.hears("Grace Hopper", `hello "you"`)
	ada.WriteText("  ") // an empty message
	ada.says("世界")
	grace.hears("Ada", "世界")

	grace.Close(ws.CloseNormalClosure, "bye")
	ada.sees("Ada")
}

func TestNameIsValidated(t *testing.T) {
	address := start(t)
	for _, name := range []string{"", "A", strings.Repeat("a", 21), "<b>Ada</b>", " Ada", "Ada\n", "Ada\u202e"} {
		t.Run(name, func(t *testing.T) {
			response := wstest.DialRefused(t, address, path(name), options)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
			status, reasons := check(t, address, name)
			assert.Equal(t, http.StatusUnprocessableEntity, status, "which the page can ask")
			assert.NotEmpty(t, reasons)
		})
	}
	t.Run("no name", func(t *testing.T) {
		response := wstest.DialRefused(t, address, "/chat", options)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
	})
	for _, name := range []string{"Łukasz 2.0", "O'Brien", "O’Brien", "Zoe\u0308", "Bob & Alice", "नेहा", "🙂🙂", "J. R. R."} {
		status, _ := check(t, address, name)
		assert.Equal(t, http.StatusNoContent, status)
		join(t, address, name).Close(ws.CloseNormalClosure, "")
	}
}

// check makes the request that the page makes before it joins, and returns the result.
func check(t *testing.T, address, name string) (status int, reasons []string) {
	t.Helper()
	query := url.Values{"name": {name}}.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/chat/check?"+query, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	var refusal struct {
		Error struct {
			Query struct {
				Fields map[string]struct{ Errors []string }
			}
		}
	}
	if response.StatusCode == http.StatusUnprocessableEntity {
		require.NoError(t, json.NewDecoder(response.Body).Decode(&refusal))
	}
	require.NoError(t, response.Body.Close())
	return response.StatusCode, refusal.Error.Query.Fields["name"].Errors
}

// What a page has not received from the server is no position.
func TestPositionIsValidated(t *testing.T) {
	address := start(t)
	for _, since := range []string{"1", "x", "-", "01-QQ", "1-!", "99999999999999999999-QQ"} {
		response := wstest.DialRefused(t, address, path("Ada")+"&"+url.Values{"since": {since}}.Encode(), options)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode, since)
		assert.Contains(t, string(body), `"since":{"errors":["The position is malformed."]}`)
	}
	response := wstest.DialRefused(t, address, path("Ada")+"&since=1-QQ&since=2-QQ", options)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode, "two positions")
}

func TestMessagesThatAreNotTaken(t *testing.T) {
	address := start(t)
	binary := join(t, address, "Binary")
	binary.sees("Binary")
	binary.WriteBinary([]byte("hello"))
	binary.ExpectClose(ws.CloseUnsupportedData, "only text, please")

	long := join(t, address, "Long")
	long.sees("Binary", "Long")
	long.WriteText(strings.Repeat("a", 2049))
	_, _, err := long.ReadMessage()
	assert.True(t, ws.IsCloseError(err, ws.CloseMessageTooBig), "%v", err)
}

// fallBehind makes Ada send messages to a member that does not read. The network is in memory,
// because its buffers are small.
func fallBehind(t *testing.T) (ada *member, slow *wstest.Raw, said string) {
	t.Helper()
	network := serve(t)
	slow = wstest.DialRaw(t, network, path("Slow"), options)
	ada = join(t, network, "Ada")
	ada.sees("Ada", "Slow")

	said = strings.Repeat("a", 2000)
	for range 200 {
		ada.says(said)
	}
	return ada, slow, said
}

// A member that does not read is disconnected, and leaves even if it does not answer the close
// frame. The other members are not affected.
func TestSlowMemberIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ada, _, _ := fallBehind(t)
		require.Equal(t, begun, time.Now())
		ada.sees("Ada")
		require.Equal(t, grace, time.Since(begun))
		ada.says("still here")
		ada.Close(ws.CloseNormalClosure, "")
	})
}

// A slow member that reads again gets its queued messages, and then the close frame with the
// reason.
func TestSlowMemberAwakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ada, slow, said := fallBehind(t)
		got := 0
		frame, err := slow.Receive()
		for ; err == nil && frame.Opcode == wstest.OpText; frame, err = slow.Receive() {
			var e event
			require.NoError(t, json.Unmarshal(frame.Payload, &e))
			if e.Type == "message" {
				require.Equal(t, said, e.Text)
				got++
			}
		}
		require.NoError(t, err)
		assert.Greater(t, got, 100)
		assert.Equal(t, wstest.Close(ws.CloseTryAgainLater, "too slow").Payload, frame.Payload)
		slow.Send(wstest.Close(ws.CloseTryAgainLater, ""))
		slow.ExpectEnd()
		ada.sees("Ada")
		ada.Close(ws.CloseNormalClosure, "")
	})
}

func TestPage(t *testing.T) {
	address := start(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
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

// After Ctrl-C in the compiled example, every member gets a close frame, and the exit status is 0.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	binary := filepath.Join(t.TempDir(), "example")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)

	command := exec.CommandContext(t.Context(), binary, "-port", "0")
	command.Dir = t.TempDir() // the example runs in any folder
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() }) // it fails if the process has ended, as expected
	address := readURL(t, stdout)

	ada, grace := join(t, address, "Ada"), join(t, address, "Grace")
	ada.sees("Ada", "Grace")
	grace.sees("Ada", "Grace")
	require.NoError(t, command.Process.Signal(os.Interrupt))
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	grace.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	require.NoError(t, command.Wait(), "the exit status is 0")
}
