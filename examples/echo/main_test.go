package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is a limit that is generous even on a slow machine. Only a failing test waits that long.
const patience = 30 * time.Second

var listening = regexp.MustCompile(`^listening on (http://127\.0\.0\.1:[1-9][0-9]*)\n$`)

// lines is a stdout that passes on each write.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// example is a call of run in this process.
type example struct {
	url    string
	cancel context.CancelFunc
	ended  chan error
}

// start runs the example on a free port until the test ends.
func start(t *testing.T, args ...string) *example {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stdout := make(lines, 1)
	e := &example{cancel: cancel, ended: make(chan error, 1)}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.ended <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), stdout)
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})

	select {
	case line := <-stdout:
		e.url = parseLine(t, line)
	case err := <-e.ended:
		require.FailNow(t, "run returned before it listened", "error: %v", err)
	case <-time.After(patience):
		require.FailNow(t, "run does not say where it listens")
	}
	return e
}

func parseLine(t *testing.T, line string) string {
	t.Helper()
	match := listening.FindStringSubmatch(line)
	require.NotNil(t, match, "the line is %q", line)
	return match[1]
}

// dial connects to the endpoint like the page. The end of the test closes the connection.
func dial(t *testing.T, url, origin string) (*ws.Conn, *http.Response, error) {
	t.Helper()
	dialer := ws.Dialer{HandshakeTimeout: patience, EnableCompression: true}
	conn, response, err := dialer.DialContext(t.Context(), strings.Replace(url, "http", "ws", 1)+"/echo", http.Header{"Origin": {origin}})
	if conn != nil {
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	}
	return conn, response, err
}

func mustDial(t *testing.T, url string) *ws.Conn {
	t.Helper()
	conn, response, err := dial(t, url, url)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return conn
}

func requireEcho(t *testing.T, conn *ws.Conn, messageType int, message []byte) {
	t.Helper()
	require.NoError(t, conn.WriteMessage(messageType, message))
	gotType, got, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, messageType, gotType)
	require.True(t, bytes.Equal(message, got), "%d bytes were sent, %d other ones came back", len(message), len(got))
}

func requireGoingAway(t *testing.T, conn *ws.Conn) {
	t.Helper()
	_, _, err := conn.ReadMessage() // reading also answers the close frame
	var closeErr *ws.CloseError
	require.ErrorAs(t, err, &closeErr)
	require.Equal(t, ws.CloseGoingAway, closeErr.Code)
}

func get(t *testing.T, url string) (status int, contentType, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, response.Header.Get("Content-Type"), string(content)
}

func TestPage(t *testing.T) {
	e := start(t)

	status, contentType, body := get(t, e.url+"/")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "text/html; charset=utf-8", contentType)
	assert.Equal(t, string(page), body)

	status, _, _ = get(t, e.url+"/other")
	assert.Equal(t, http.StatusNotFound, status, "the page is at / alone")
}

func TestPageNeedsNothingElse(t *testing.T) {
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url("} {
		assert.NotContains(t, string(page), outside)
	}
}

func TestEcho(t *testing.T) {
	tests := []struct {
		name        string
		messageType int
		message     []byte
	}{
		{name: "text", messageType: ws.TextMessage, message: []byte("hello, 世界")},
		{name: "an empty text", messageType: ws.TextMessage, message: []byte{}},
		{name: "binary", messageType: ws.BinaryMessage, message: []byte{0, 1, 0xfe, 0xff}},
		{name: "more than a buffer", messageType: ws.BinaryMessage, message: bytes.Repeat([]byte("0123456789"), 20_000)},
	}
	for _, args := range [][]string{{}, {"-compress"}, {"-compress", "-takeover"}, {"-debug"}} {
		e := start(t, args...)
		conn := mustDial(t, e.url)
		for _, tt := range tests {
			t.Run(strings.Join(append(args, tt.name), " "), func(t *testing.T) {
				requireEcho(t, conn, tt.messageType, tt.message)
			})
		}
	}
}

func TestCompressIsOffered(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{name: "not by default", want: ""},
		{name: "with -compress", args: []string{"-compress"}, want: "permessage-deflate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := start(t, tt.args...)
			_, response, err := dial(t, e.url, e.url)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			extension, _, _ := strings.Cut(response.Header.Get("Sec-WebSocket-Extensions"), ";")
			assert.Equal(t, tt.want, extension)
		})
	}
}

func TestTakeover(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{name: "not by default", args: []string{"-compress"}, want: "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{name: "with -takeover", args: []string{"-compress", "-takeover"}, want: "permessage-deflate"},
		{name: "not with -takeover alone", args: []string{"-takeover"}, want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := strings.Replace(start(t, tt.args...).url, "http", "ws", 1) + "/echo"
			conn, response, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Compression: websocket.CompressionContextTakeover})
			require.NoError(t, err)
			require.NoError(t, conn.CloseNormal())
			assert.Equal(t, tt.want, response.Header.Get("Sec-WebSocket-Extensions"))
		})
	}
}

func TestLimit(t *testing.T) {
	const mebibyte = 1 << 20
	for _, tt := range []struct {
		name    string
		args    []string
		longest int // 0: no limit
	}{
		{name: "1 MiB by default", longest: mebibyte},
		{name: "-limit 0", args: []string{"-limit", "0"}, longest: mebibyte},
		{name: "-limit 1000", args: []string{"-limit", "1000"}, longest: 1000},
		{name: "-limit -1", args: []string{"-limit", "-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := mustDial(t, start(t, tt.args...).url)
			if tt.longest == 0 {
				requireEcho(t, conn, ws.BinaryMessage, make([]byte, 3*mebibyte))
				return
			}
			requireEcho(t, conn, ws.BinaryMessage, make([]byte, tt.longest))
			require.NoError(t, conn.WriteMessage(ws.BinaryMessage, make([]byte, tt.longest+1)))
			_, _, err := conn.ReadMessage()
			require.True(t, ws.IsCloseError(err, ws.CloseMessageTooBig), "%v", err)
		})
	}
	require.ErrorContains(t, run(t.Context(), []string{"-limit", "much"}, io.Discard), "-limit")
}

func TestOriginOfAnotherHostIsRefused(t *testing.T) {
	e := start(t)
	_, response, err := dial(t, e.url, "http://evil.test")
	require.ErrorIs(t, err, ws.ErrBadHandshake)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
}

func TestCancelClosesConnections(t *testing.T) {
	e := start(t)
	first, second := mustDial(t, e.url), mustDial(t, e.url)
	requireEcho(t, first, ws.TextMessage, []byte("hello"))
	requireEcho(t, second, ws.TextMessage, []byte("hello"))

	e.cancel()
	requireGoingAway(t, first)
	requireGoingAway(t, second)
	select {
	case err := <-e.ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "run does not return")
	}
	_, err := net.DialTimeout("tcp", strings.TrimPrefix(e.url, "http://"), patience)
	require.Error(t, err, "nobody listens any more")
}

func TestArguments(t *testing.T) {
	require.NoError(t, run(t.Context(), []string{"-help"}, io.Discard))
	require.ErrorContains(t, run(t.Context(), []string{"-unknown"}, io.Discard), "unknown")

	e := start(t)
	taken := strings.TrimPrefix(e.url, "http://")
	require.Error(t, run(t.Context(), []string{"-addr", taken}, io.Discard), "the port is taken")
}

// process is a process of the compiled example.
type process struct {
	*os.Process
	url    string
	stdout *os.File // the output after the line with the address
	ended  chan error
}

// startProcess builds and starts the example. The end of the test kills it.
func startProcess(t *testing.T) *process {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	binary := filepath.Join(t.TempDir(), "echo")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)

	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	require.NoError(t, reader.SetReadDeadline(time.Now().Add(patience)))
	command := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0")
	command.Stdout = writer
	command.Stderr = os.Stderr
	require.NoError(t, command.Start())
	p := &process{Process: command.Process, stdout: reader, ended: make(chan error, 1)}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.ended <- command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // it fails if the process has ended, as expected
		<-stopped
	})
	require.NoError(t, writer.Close())

	line := make([]byte, 256)
	n, err := reader.Read(line)
	require.NoError(t, err)
	p.url = parseLine(t, string(line[:n]))
	return p
}

func TestInterruptEndsTheProcess(t *testing.T) {
	p := startProcess(t)
	conn := mustDial(t, p.url)
	requireEcho(t, conn, ws.TextMessage, []byte("hello"))

	require.NoError(t, p.Signal(os.Interrupt))
	requireGoingAway(t, conn)
	select {
	case err := <-p.ended:
		require.NoError(t, err, "the exit status is 0")
	case <-time.After(patience):
		require.FailNow(t, "the process does not end")
	}
	rest, err := io.ReadAll(p.stdout)
	require.NoError(t, err)
	require.Empty(t, string(rest), "stdout is that one line")
}

func TestSecondSignalKills(t *testing.T) {
	p := startProcess(t)
	conn := mustDial(t, p.url)
	conn.SetCloseHandler(func(int, string) error { return nil }) // no answer, so that the process waits
	require.NoError(t, p.Signal(os.Interrupt))
	requireGoingAway(t, conn)

	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		_ = p.Signal(syscall.SIGTERM) // repeated, because the first signal may not have been handled yet
		select {
		case err := <-p.ended:
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, "signal: terminated", exit.String())
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	require.FailNow(t, "the process does not end")
}
