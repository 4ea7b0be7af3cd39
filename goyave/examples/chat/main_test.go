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
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds what takes a moment on a slow machine.
const patience = 30 * time.Second

var (
	listening = regexp.MustCompile(`^listening on (http://127\.0\.0\.1:[1-9][0-9]*)\n$`)
	options   = &wstest.Options{Timeout: patience}
)

// start runs the application in this process, on a free port, and ends it with
// the test.
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

// join connects and expects to be told who is there.
func join(t *testing.T, address any, name string, all ...string) *wstest.Client {
	t.Helper()
	client := wstest.Dial(t, address, path(name), options)
	names, err := json.Marshal(all)
	require.NoError(t, err)
	client.ExpectText(`{"type":"members","all":` + string(names) + `}`)
	return client
}

func TestJoinTalkLeave(t *testing.T) {
	address := start(t)
	ada := join(t, address, "Ada", "Ada")
	grace := join(t, address, "Grace Hopper", "Ada", "Grace Hopper")
	ada.ExpectText(`{"type":"joined","name":"Grace Hopper"}`)

	grace.WriteText(" hello \"you\" ")
	ada.ExpectText(`{"type":"message","name":"Grace Hopper","text":"hello \"you\""}`)
	grace.ExpectText(`{"type":"message","name":"Grace Hopper","text":"hello \"you\""}`)
	ada.WriteText("  ") // says nothing
	ada.WriteText("世界")
	ada.ExpectText(`{"type":"message","name":"Ada","text":"世界"}`)
	grace.ExpectText(`{"type":"message","name":"Ada","text":"世界"}`)

	grace.Close(ws.CloseNormalClosure, "bye")
	ada.ExpectText(`{"type":"left","name":"Grace Hopper"}`)
	join(t, address, "grace hopper", "Ada", "grace hopper") // the name is free again
	ada.ExpectText(`{"type":"joined","name":"grace hopper"}`)
}

func TestNameIsValidated(t *testing.T) {
	address := start(t)
	for _, name := range []string{"", "A", strings.Repeat("a", 21), "<b>Ada</b>", " Ada", "Ada\n"} {
		t.Run(name, func(t *testing.T) {
			response := wstest.DialRefused(t, address, path(name), options)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
		})
	}
	t.Run("no name", func(t *testing.T) {
		response := wstest.DialRefused(t, address, "/chat", options)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
	})
	join(t, address, "Łukasz 2.0", "Łukasz 2.0")
}

func TestNameIsTaken(t *testing.T) {
	address := start(t)
	ada := join(t, address, "Ada", "Ada")
	wstest.Dial(t, address, path("ada"), options).ExpectClose(ws.ClosePolicyViolation, "the name is taken")
	ada.WriteText("alone")
	ada.ExpectText(`{"type":"message","name":"Ada","text":"alone"}`) // nobody joined, nobody left
}

func TestMessagesThatAreNotTaken(t *testing.T) {
	address := start(t)
	ada := join(t, address, "Ada", "Ada")

	binary := join(t, address, "Binary", "Ada", "Binary")
	ada.ExpectText(`{"type":"joined","name":"Binary"}`)
	binary.WriteBinary([]byte("hello"))
	binary.ExpectClose(ws.CloseUnsupportedData, "only text, please")
	ada.ExpectText(`{"type":"left","name":"Binary"}`)

	long := join(t, address, "Long", "Ada", "Long")
	ada.ExpectText(`{"type":"joined","name":"Long"}`)
	long.WriteText(strings.Repeat("a", 2049))
	_, _, err := long.ReadMessage()
	assert.True(t, ws.IsCloseError(err, ws.CloseMessageTooBig), "%v", err)
	ada.ExpectText(`{"type":"left","name":"Long"}`)
}

// A member that does not read is told to go; the others notice nothing else.
// The network is in memory, because its buffers are small.
func TestSlowMemberIsDropped(t *testing.T) {
	server, err := newServer(0, io.Discard)
	require.NoError(t, err)
	network := wstest.Serve(t, server.Router())
	slow := wstest.DialRaw(t, network, path("Slow"), options)
	slow.Expect(wstest.Text(`{"type":"members","all":["Slow"]}`))
	ada := join(t, network, "Ada", "Ada", "Slow")

	message := strings.Repeat("a", 2000)
	want := `{"type":"message","name":"Ada","text":"` + message + `"}`
	left := false
	for range 1000 {
		ada.WriteText(message)
		_, got, err := ada.ReadMessage()
		require.NoError(t, err)
		if string(got) != want {
			require.JSONEq(t, `{"type":"left","name":"Slow"}`, string(got))
			left = true
			break
		}
	}
	require.True(t, left, "it is not dropped")
	ada.ExpectText(want)
	ada.WriteText("still here")
	ada.ExpectText(`{"type":"message","name":"Ada","text":"still here"}`)

	for { // it awakes
		frame, err := slow.Receive()
		require.NoError(t, err)
		if frame.Opcode == wstest.OpClose {
			assert.Equal(t, wstest.Close(ws.ClosePolicyViolation, "too slow").Payload, frame.Payload)
			break
		}
	}
	slow.Send(wstest.Close(ws.ClosePolicyViolation, ""))
	slow.ExpectEnd()
	ada.Close(ws.CloseNormalClosure, "")
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

// As its users run it: Ctrl-C, every member is told, and the exit status is 0.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	binary := filepath.Join(t.TempDir(), "example")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)

	command := exec.CommandContext(t.Context(), binary, "-port", "0")
	command.Dir = t.TempDir() // any folder does
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() }) // fails where it has ended: as it should
	address := readURL(t, stdout)

	ada := join(t, address, "Ada", "Ada")
	grace := join(t, address, "Grace", "Ada", "Grace")
	ada.ExpectText(`{"type":"joined","name":"Grace"}`)
	require.NoError(t, command.Process.Signal(os.Interrupt))
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	grace.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	require.NoError(t, command.Wait(), "the exit status is 0")
}
