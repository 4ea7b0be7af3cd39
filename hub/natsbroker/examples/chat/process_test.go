package main

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

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

// startServer starts a NATS server with JetStream in this process, on a free port or at the URL of an
// earlier one.
func startServer(t *testing.T, at ...string) (natsURL string) {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	for _, address := range at {
		parsed, err := url.Parse(address)
		require.NoError(t, err)
		options.Port, err = strconv.Atoi(parsed.Port())
		require.NoError(t, err)
	}
	s, err := server.NewServer(options)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience))
	return s.ClientURL()
}

// nobody returns a URL at which no server listens.
func nobody(t *testing.T) (natsURL string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // it has only to be closed
	return "nats://" + listener.Addr().String()
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

// await waits until the node has reached NATS: until then, it disconnects who joins after 5 seconds.
func (p *process) await(t *testing.T) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; {
		client := wstest.Dial(t, p.url, path("Eve", "hall"), options)
		_, _, err := client.ReadMessage()
		require.NoError(t, client.NetConn().Close())
		if err == nil {
			return
		}
		require.True(t, ws.IsCloseError(err, ws.CloseInternalServerErr), "%v", err)
	}
	require.FailNow(t, "it does not reach NATS")
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.Process.Kill() // it fails if the process has ended
	<-p.said
	_ = p.Wait()
}
