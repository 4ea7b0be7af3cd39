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
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// serverMain runs this program as the server process of an implementation.
func serverMain(name string, m mode) error {
	im, err := implementationNamed(name)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return serving.Run(name, func(ready func(addr string)) error {
		ready(l.Addr().String())
		return im.serve(l, m)
	})
}

// A server is a server process, seen from the load.
type server struct {
	addr  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	log   *bytes.Buffer // what it wrote to its standard error; read once it has ended
}

// startServer starts the server process of an implementation: this program, or the program of
// the implementation. The process is killed when ctx ends; stop ends it in an orderly way.
func startServer(ctx context.Context, im *implementation, m mode) (*server, error) {
	binary, err := os.Executable()
	if im.program != nil {
		binary, err = im.program.binary, nil
	}
	if err != nil {
		return nil, err
	}
	s := &server{log: new(bytes.Buffer)}
	s.cmd = exec.CommandContext(ctx, binary, serving.Arguments(im.name, m)...)
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
		return nil, errors.Join(fmt.Errorf("bench: %s did not start: %w", im.name, err), s.stop())
	}
	s.addr = strings.TrimSpace(addr)
	return s, nil
}

// usage asks the server for its resource usage. The context passed to startServer bounds the
// wait.
func (s *server) usage(question string) (serving.Usage, error) {
	var u serving.Usage
	if _, err := io.WriteString(s.stdin, question+"\n"); err != nil {
		return u, fmt.Errorf("bench: ask the server: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return u, fmt.Errorf("bench: the server does not answer: %w", err)
	}
	return u, json.Unmarshal(line, &u)
}

// stop ends the server. It returns an error if the server had failed.
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
