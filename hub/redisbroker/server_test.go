package redisbroker_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// patience is a limit that is generous even on a slow machine.
const patience = 20 * time.Second

const moment = 5 * time.Millisecond // the interval of polling

// missing skips the test for lack of a tool and says how to get it. Where REDIS_REQUIRED is set, as in
// continuous integration, that is a failure.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REDIS_REQUIRED") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// findRedis returns the program redis-server. Debian's package redis-tools has it by the name of another program
// that it is as well; the package redis-server adds only a service.
func findRedis(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("REDIS_SERVER"), "redis-server", "redis-check-rdb"} {
		if path, err := exec.LookPath(name); err == nil && name != "" {
			return path
		}
	}
	missing(t, "there is no redis-server: install Redis 7, or Debian's package redis-tools")
	return ""
}

// A server is a process of redis-server.
type server struct {
	t         testing.TB
	port      int
	dir       string
	config    string // a file; empty for none
	arguments []string
	command   *exec.Cmd
	output    *bytes.Buffer
	ended     chan struct{} // closed when the process has ended
}

// startServer starts a server on a free port, with what its configuration file would have.
func startServer(t testing.TB, arguments ...string) *server {
	t.Helper()
	path := findRedis(t)
	for range 10 { // another process may take the port first
		s := &server{t: t, port: freePort(t), dir: t.TempDir(), arguments: arguments}
		if s.start(path) {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal("no server starts")
	return nil
}

// freePort returns a port that is free, and below those that systems take for connections: it is still free
// when a server starts again.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			require.NoError(t, listener.Close())
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// start starts the process and waits until it answers. It reports false if it does not start.
func (s *server) start(path string) bool {
	s.t.Helper()
	arguments := []string{"--save", ""}
	if s.config != "" {
		arguments = []string{s.config}
	}
	arguments = append(arguments, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--daemonize", "no")
	arguments = append(arguments, s.arguments...)
	s.output = new(bytes.Buffer)
	s.command = exec.Command(path, arguments...)
	s.command.Args[0] = "redis-server" // it is what its name says
	s.command.Stdout, s.command.Stderr = s.output, s.output
	require.NoError(s.t, s.command.Start())
	command, ended := s.command, make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	client := newClient(s.addr())
	defer client.Close() //nolint:errcheck // it has only to be closed
	for begun := time.Now(); time.Since(begun) < patience && !s.hasEnded(); time.Sleep(moment) {
		if info, err := client.Info(context.Background(), "server").Result(); err == nil {
			return bytes.Contains([]byte(info), fmt.Append(nil, "process_id:", s.command.Process.Pid))
		}
	}
	s.kill()
	s.t.Log(s.output)
	return false
}

// kill ends the process at once. It saves nothing.
func (s *server) kill() {
	if !s.hasEnded() {
		_ = s.command.Process.Kill()
		<-s.ended
	}
}

func (s *server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// restart starts the process again, with the data that it has saved.
func (s *server) restart() {
	s.t.Helper()
	s.kill()
	require.True(s.t, s.start(findRedis(s.t)))
}

// pause stops the process until the function that it returns is called: its connections stay.
func (s *server) pause() (resume func()) {
	s.t.Helper()
	require.NoError(s.t, s.command.Process.Signal(syscall.SIGSTOP))
	resume = sync.OnceFunc(func() { _ = s.command.Process.Signal(syscall.SIGCONT) })
	s.t.Cleanup(resume)
	return resume
}

// is reports whether the server says something of its replication.
func (s *server) is(what string) bool { return strings.Contains(s.replication(), what) }

// offset returns an offset of the server's replication.
func (s *server) offset(name string) int {
	_, after, _ := strings.Cut(s.replication(), name+":")
	number, _, _ := strings.Cut(after, "\r")
	n, _ := strconv.Atoi(number)
	return n
}

func (s *server) replication() string {
	client := newClient(s.addr())
	defer client.Close() //nolint:errcheck // it has only to be closed
	return client.Info(context.Background(), "replication").Val()
}

// newClient returns a client that notices failures soon.
func newClient(addr string, set ...func(*redis.Options)) *redis.Client {
	options := &redis.Options{
		Addr: addr, ReadTimeout: 2 * time.Second, DialTimeout: time.Second, DialerRetries: 1, MaxRetries: -1,
		PoolSize: 10,
	}
	for _, f := range set {
		f(options)
	}
	return redis.NewClient(options)
}

// connect returns a client until the test ends.
func connect(t *testing.T, addr string, set ...func(*redis.Options)) *redis.Client {
	t.Helper()
	client := newClient(addr, set...)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
