package interop_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds what takes a moment on a slow machine. Nothing waits for it
// unless the test is about to fail. The scripts wait less.
const patience = 40 * time.Second

// A note is what a server writes of one of its connections: a line of its
// standard output.
type note struct {
	ID    string
	Event string

	Error  string
	Code   int
	Reason string

	Received int // bytes; 0 but in notes of script/server.js about its servers with compression
}

// process is a server that was started. Its end is part of the test.
type process struct {
	url string // "http://127.0.0.1:PORT"

	command             *exec.Cmd
	interrupted, killed bool

	mu      sync.Mutex
	notes   []note
	said    []string      // lines that are no notes; read has ended when they are looked at
	changed chan struct{} // closed when there is another note, or none will come
	ended   bool          // nothing more will come
}

// startEcho starts examples/echo.
func startEcho(t *testing.T, arguments ...string) *process {
	t.Helper()
	return start(t, filepath.Join(programs, "echo"), append([]string{"-addr", "127.0.0.1:0"}, arguments...)...)
}

// startChat starts examples/chat.
func startChat(t *testing.T, arguments ...string) *process {
	t.Helper()
	return start(t, filepath.Join(programs, "chat"), append([]string{"-addr", "127.0.0.1:0"}, arguments...)...)
}

// startAuth starts examples/auth, with the password "secret".
func startAuth(t *testing.T, arguments ...string) *process {
	t.Helper()
	return start(t, filepath.Join(programs, "auth"), append([]string{"-addr", "127.0.0.1:0", "-password", "secret"}, arguments...)...)
}

// startServer starts the server of this module.
func startServer(t *testing.T, arguments ...string) *process {
	t.Helper()
	return start(t, filepath.Join(programs, "server"), arguments...)
}

// start starts a program that says where it listens. With the test it is told to
// end, which it must do, with status 0.
func start(t *testing.T, program string, arguments ...string) *process {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be told to end")
	}
	p := &process{command: exec.Command(program, arguments...), changed: make(chan struct{})}
	p.command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10") // a second otherwise
	stdout, err := p.command.StdoutPipe()
	require.NoError(t, err)
	p.command.Stderr = p.command.Stdout // where some say the address, and all their failures
	require.NoError(t, p.command.Start())

	address, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		p.read(stdout, address)
	}()
	t.Cleanup(func() {
		if !p.interrupted { // a second signal kills
			_ = p.command.Process.Signal(syscall.SIGTERM) // fails where it has ended
		}
		late := time.AfterFunc(patience, func() { _ = p.command.Process.Kill() })
		defer late.Stop()
		<-read
		if err := p.command.Wait(); !p.killed {
			assert.NoError(t, err, "%s ends with an error", filepath.Base(program))
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", filepath.Base(program), strings.Join(p.said, "\n"))
		}
	})
	select {
	case p.url = <-address:
	case <-time.After(patience):
	}
	require.NotEmpty(t, p.url, "%s does not say where it listens", program)
	return p
}

// read takes in standard output to its end.
func (p *process) read(stdout io.Reader, address chan<- string) {
	defer close(address)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "listening on "); ok {
			address <- url
			continue
		}
		var n note
		if json.Unmarshal(lines.Bytes(), &n) != nil {
			p.said = append(p.said, lines.Text())
			continue
		}
		p.add(&n)
	}
	p.add(nil)
}

// add takes in a note; nil stands for the end.
func (p *process) add(n *note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n == nil {
		p.ended = true
	} else {
		p.notes = append(p.notes, *n)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// await returns a connection's note of an event.
func (p *process) await(t *testing.T, id, event string) note {
	t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		notes, changed, ended := p.notes, p.changed, p.ended
		p.mu.Unlock()
		for _, n := range notes {
			if n.ID == id && n.Event == event {
				return n
			}
		}
		require.False(t, ended, "the server has ended and noted no %q of connection %q", event, id)
		select {
		case <-changed:
		case <-timeout:
			require.FailNow(t, "the server notes nothing", "%q of connection %q", event, id)
		}
	}
}

// told returns what the ErrorHandler of a connection that has ended was told, ""
// for nothing.
func (p *process) told(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.notes {
		if n.ID == id && n.Event == "told" {
			return n.Error
		}
	}
	return ""
}

// at returns the URL of a connection with a behavior of the server.
func (p *process) at(behavior, id string, query ...string) string {
	values := url.Values{"id": {id}}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return p.address() + "/" + behavior + "?" + values.Encode()
}

// address is the server's as a WebSocket URL.
func (p *process) address() string { return strings.Replace(p.url, "http", "ws", 1) }

func (p *process) interrupt(t *testing.T) {
	t.Helper()
	p.interrupted = true
	require.NoError(t, p.command.Process.Signal(os.Interrupt))
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	p.killed = true
	require.NoError(t, p.command.Process.Kill())
}
