package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// patience is a limit that is generous even on a slow machine.
const patience = 30 * time.Second

// binary is the path of the compiled example.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "chat")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "chat")
	if output, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, output))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(folder)
		os.Exit(status)
	}))
}

// startServer starts a NATS server in this process and returns its URL.
func startServer(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience))
	return s.ClientURL()
}

// A process is a node.
type process struct {
	*exec.Cmd
	url, nats string
	said      chan struct{} // closed when all of its output has been read
}

var listening = regexp.MustCompile(`listening on (http://127\.0\.0\.1:[1-9][0-9]*), with NATS at (nats://.*)$`)

func startNode(t *testing.T, arguments ...string) *process {
	t.Helper()
	p := &process{
		Cmd:  exec.CommandContext(t.Context(), binary, append([]string{"-addr", "127.0.0.1:0"}, arguments...)...),
		said: make(chan struct{}),
	}
	stderr, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	addresses := make(chan []string, 1)
	go func() {
		defer close(p.said)
		defer close(addresses)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			t.Logf("process %d: %s", p.Process.Pid, lines.Text())
			if match := listening.FindStringSubmatch(lines.Text()); match != nil {
				addresses <- match
			}
		}
	}()
	t.Cleanup(func() { p.kill() })
	select {
	case match := <-addresses:
		require.Len(t, match, 3, "it says nothing")
		p.url, p.nats = match[1], match[2]
	case <-time.After(patience):
		require.FailNow(t, "it does not say where it listens")
	}
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.Process.Kill() // it fails if the process has ended
	<-p.said
	_ = p.Wait()
}

// member is a client in a room.
type member struct {
	*wstest.Client
	t    *testing.T
	here map[string][]string // by node, like in the page
}

func (p *process) join(t *testing.T, name string) *member {
	t.Helper()
	path := "/chat?" + url.Values{"name": {name}, "room": {"lobby"}}.Encode()
	m := &member{
		Client: wstest.Dial(t, p.url, path, &wstest.Options{Timeout: patience}),
		t:      t, here: make(map[string][]string),
	}
	m.expect("joined", name, "")
	return m
}

// expect reads up to the given event. All events before it must be announcements.
func (m *member) expect(kind, name, text string) {
	m.t.Helper()
	for {
		e := m.next()
		if e.Type == kind && e.Name == name && e.Text == text {
			return
		}
		require.NotEqual(m.t, "message", e.Type, "want %s of %s: %q", kind, name, text)
	}
}

func (m *member) next() event {
	m.t.Helper()
	require.NoError(m.t, m.SetReadDeadline(time.Now().Add(patience)))
	_, p, err := m.ReadMessage()
	require.NoError(m.t, err)
	var e event
	require.NoError(m.t, json.Unmarshal(p, &e))
	if e.Type != "message" {
		m.here[e.Node] = e.Here
	}
	return e
}

// sees reads until a member is announced.
func (m *member) sees(name string) {
	m.t.Helper()
	for {
		for _, names := range m.here {
			if slices.Contains(names, name) {
				return
			}
		}
		m.next()
	}
}

func TestTwoNodes(t *testing.T) {
	natsURL := startServer(t)
	one, two := startNode(t, "-nats", natsURL), startNode(t, "-nats", natsURL)
	ada := one.join(t, "Ada")
	bob := two.join(t, "Bob")
	ada.sees("Bob")
	bob.sees("Ada")

	ada.WriteText("hello, Bob")
	bob.expect("message", "Ada", "hello, Bob")
	ada.expect("message", "Ada", "hello, Bob")
	bob.WriteText("hello, Ada")
	ada.expect("message", "Bob", "hello, Ada")
	bob.expect("message", "Bob", "hello, Ada")

	bob.Close(ws.CloseNormalClosure, "")
	ada.expect("left", "Bob", "")
}

// One node is killed and restarted. The members of the other node can chat in the meantime.
func TestNodeIsKilled(t *testing.T) {
	natsURL := startServer(t)
	one, two := startNode(t, "-nats", natsURL), startNode(t, "-nats", natsURL)
	ada := one.join(t, "Ada")
	bob := two.join(t, "Bob")
	ada.sees("Bob")
	two.kill()
	_, _, err := bob.ReadMessage()
	for err == nil { // messages that were in transit
		_, _, err = bob.ReadMessage()
	}

	grace := one.join(t, "Grace")
	ada.expect("joined", "Grace", "")
	grace.WriteText("where is Bob?")
	ada.expect("message", "Grace", "where is Bob?")
	grace.expect("message", "Grace", "where is Bob?")

	two = startNode(t, "-nats", natsURL)
	bob = two.join(t, "Bob")
	ada.expect("joined", "Bob", "")
	bob.sees("Grace")
	bob.WriteText("here I am")
	ada.expect("message", "Bob", "here I am")
	grace.expect("message", "Bob", "here I am")
	grace.WriteText("welcome back")
	for _, m := range []*member{ada, grace} {
		m.expect("message", "Grace", "welcome back")
	}
	bob.expect("message", "Bob", "here I am")
	bob.expect("message", "Grace", "welcome back")
}

// The node with the embedded NATS server is killed and restarted. The members of the other node can
// chat in the meantime, and the nodes reconnect.
func TestServerIsKilled(t *testing.T) {
	one := startNode(t, "-nats", "nats://127.0.0.1:0", "-embedded")
	two := startNode(t, "-nats", one.nats)
	ada := one.join(t, "Ada")
	bob := two.join(t, "Bob")
	ada.sees("Bob")
	one.kill()

	carol := two.join(t, "Carol")
	carol.WriteText("are you there?")
	bob.expect("message", "Carol", "are you there?")

	one = startNode(t, "-nats", one.nats, "-embedded")
	ada = one.join(t, "Ada")
	ada.sees("Bob")
	ada.sees("Carol")
	bob.sees("Ada")
	ada.WriteText("I am back")
	bob.expect("message", "Ada", "I am back")
}

func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	p := startNode(t, "-nats", "nats://127.0.0.1:0", "-embedded")
	ada := p.join(t, "Ada")
	require.NoError(t, p.Process.Signal(os.Interrupt))
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	<-p.said
	require.NoError(t, p.Wait(), "the exit status is 0")
}

func TestPage(t *testing.T) {
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
	assert.Contains(t, string(body), "new WebSocket(")
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url(", "innerHTML"} {
		assert.NotContains(t, string(body), outside)
	}
}
