package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
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
func start(t *testing.T) (url string) {
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

func TestEcho(t *testing.T) {
	client := wstest.Dial(t, start(t), "/echo", options)
	client.WriteText("hello, 世界")
	client.ExpectText("hello, 世界")
	client.WriteBinary([]byte{0, 0xff})
	client.ExpectBinary([]byte{0, 0xff})
	client.Close(ws.CloseNormalClosure, "bye")
}

func TestPage(t *testing.T) {
	url := start(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Contains(t, response.Header.Get("Content-Type"), "text/html")
	assert.Contains(t, string(body), "new WebSocket(")
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url("} {
		assert.NotContains(t, string(body), outside)
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// After Ctrl-C in the compiled example, the exit status is 0. It logs a goodbye after the last
// client has answered the close frame.
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
	var log lines
	command.Stderr = &log
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() }) // it fails if the process has ended, as expected
	url := readURL(t, stdout)

	first, second := wstest.Dial(t, url, "/echo", options), wstest.DialRaw(t, url, "/echo", options)
	first.WriteText("hello")
	first.ExpectText("hello")
	require.NoError(t, command.Process.Signal(os.Interrupt))
	first.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	second.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	assert.NotContains(t, log.String(), "all clients are gone")
	second.Send(wstest.Close(ws.CloseGoingAway, ""))
	require.NoError(t, command.Wait(), "the exit status is 0")
	assert.Contains(t, log.String(), "all clients are gone")
}
