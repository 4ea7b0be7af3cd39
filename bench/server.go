package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"
)

// A usage is what a server process tells of itself over its standard output
// when it is asked by a line on its standard input.
type usage struct {
	CPU   time.Duration // user and system
	Heap  uint64        // bytes in use
	Stack uint64        // bytes
	RSS   uint64        // bytes
}

const (
	askCPU    = "cpu"
	askMemory = "memory" // after garbage collection; takes a while
)

// serverCommand is the first argument of a server process.
const serverCommand = "serve"

// serverMain is the server process: it serves on a free port, which it prints,
// answers questions and ends with its standard input.
func serverMain(name, m string) error {
	im, err := implementationNamed(name)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- im.serve(l, mode(m)) }() // ends with the process
	questions := make(chan string)
	go func() {
		defer close(questions)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			questions <- s.Text()
		}
	}()

	fmt.Println(l.Addr())
	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("bench: %s stopped: %w", name, err)
		case question, ok := <-questions:
			if !ok {
				return nil
			}
			u, err := currentUsage(question == askMemory)
			if err != nil {
				return err
			}
			if err := out.Encode(u); err != nil {
				return err
			}
		}
	}
}

func currentUsage(memory bool) (usage, error) {
	var u usage
	if memory {
		runtime.GC() // twice: pools let go in two steps
		debug.FreeOSMemory()
		samples := []metrics.Sample{
			{Name: "/memory/classes/heap/objects:bytes"},
			{Name: "/memory/classes/heap/unused:bytes"},
			{Name: "/memory/classes/heap/stacks:bytes"},
		}
		metrics.Read(samples)
		u.Heap = samples[0].Value.Uint64() + samples[1].Value.Uint64()
		u.Stack = samples[2].Value.Uint64()
		var err error
		if u.RSS, err = residentSize(); err != nil {
			return u, err
		}
	}
	var err error
	u.CPU, err = cpuTime()
	return u, err
}

// A server is a server process as the load sees it.
type server struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	log   *bytes.Buffer // what it wrote to its standard error; read once it has ended
}

// startServer runs this program once more as a server. It is killed when ctx
// ends; stop ends it in good order.
func startServer(ctx context.Context, name string, m mode) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{log: new(bytes.Buffer)}
	s.cmd = exec.CommandContext(ctx, self, serverCommand, name, string(m))
	s.cmd.Stderr = s.log
	s.cmd.WaitDelay = time.Second
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(stdout)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	addr, err := s.out.ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %s did not start: %w", name, err), s.stop())
	}
	s.addr = strings.TrimSpace(addr)
	return s, nil
}

// usage asks the server. The end of the context that it was started with bounds
// the wait.
func (s *server) usage(question string) (usage, error) {
	var u usage
	if _, err := io.WriteString(s.stdin, question+"\n"); err != nil {
		return u, fmt.Errorf("bench: ask the server: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return u, fmt.Errorf("bench: the server does not answer: %w", err)
	}
	return u, json.Unmarshal(line, &u)
}

// stop ends the server and returns how it failed, if it did.
func (s *server) stop() error {
	_ = s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("bench: the server ended with %w: %s", err, lastLines(s.log.String(), 3))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
