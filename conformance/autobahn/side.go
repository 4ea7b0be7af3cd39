package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/goyave-contrib/websocket"
)

const (
	// longest is the longest message, in bytes: the suite sends 16 MiB.
	longest = 64 << 20
	// patience bounds each step that takes a moment on a slow machine: a start, a handshake, an end.
	patience = time.Minute
)

// A side is what the suite plays against in one run.
type side struct {
	name       string // as the page has it
	agent      string // as the suite's reports have it
	client     bool   // whether it is a client made with Dial; otherwise it is the server of examples/echo
	compressed websocket.CompressionMode
}

func sides() []side {
	return []side{
		{name: "Server", agent: "echo"},
		{name: "Server with compression", agent: "echo-compressed", compressed: websocket.CompressionNoContextTakeover},
		{name: "Server with context takeover", agent: "echo-takeover", compressed: websocket.CompressionContextTakeover},
		{name: "Client", agent: "dial", client: true},
		{name: "Client with compression", agent: "dial-compressed", client: true, compressed: websocket.CompressionNoContextTakeover},
		{name: "Client with context takeover", agent: "dial-takeover", client: true, compressed: websocket.CompressionContextTakeover},
	}
}

// complete reports whether the side plays all cases.
func (s side) complete() bool { return s.compressed == websocket.CompressionNoContextTakeover }

// compression has the patterns of the cases about compression.
var compression = []string{"12.*", "13.*"}

// play runs all cases against a side and returns what the suite reports.
func (s *settings) play(ctx context.Context, side side) (*report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("the run takes longer than %v", s.timeout))
	defer cancel()
	folder := filepath.Join(s.reports, side.agent)
	if err := os.Mkdir(folder, 0o750); err != nil {
		return nil, err
	}
	plan := specification{Folder: filepath.Join(folder, "cases"), Cases: []string{"*"}, Exclude: append([]string{}, s.skip...)}
	switch side.compressed {
	case websocket.CompressionDisabled:
		plan.Exclude = append(plan.Exclude, compression...)
	case websocket.CompressionContextTakeover: // the suite offers no compression in other cases
		plan.Cases = compression
	}
	var cases int
	var err error
	if side.client {
		cases, err = s.playClient(ctx, side, folder, &plan)
	} else {
		cases, err = s.playServer(ctx, side, folder, &plan)
	}
	if err != nil {
		return nil, err
	}
	return readReport(plan.Folder, side, cases)
}

var (
	listening = regexp.MustCompile(`(?m)^listening on http(://\S+)$`)
	willRun   = regexp.MustCompile(`will run (\d+) test cases`)
)

// playServer lets the suite's client play against the echo example. It returns the number of cases.
func (s *settings) playServer(ctx context.Context, side side, folder string, plan *specification) (cases int, err error) {
	args := []string{"-addr", "127.0.0.1:0", "-limit", strconv.Itoa(longest)}
	switch side.compressed {
	case websocket.CompressionNoContextTakeover:
		args = append(args, "-compress")
	case websocket.CompressionContextTakeover:
		args = append(args, "-compress", "-takeover")
	}
	echo, err := start(filepath.Join(folder, "echo.log"), s.echo, args...)
	if err != nil {
		return 0, err
	}
	defer func() {
		if ended := echo.end(); ended != nil {
			err = errors.Join(err, fmt.Errorf("the echo example: %w", ended))
		}
	}()
	address, err := echo.says(ctx, listening)
	if err != nil {
		return 0, fmt.Errorf("the echo example: %w", err)
	}
	plan.Servers = []target{{Agent: side.agent, URL: "ws" + address + "/echo"}}
	suite, err := s.startSuite("fuzzingclient", folder, plan)
	if err != nil {
		return 0, err
	}
	defer func() { _ = suite.end() }() // how it ends is of no importance
	number, err := suite.says(ctx, willRun)
	if number == "0" {
		return 0, nil // the suite would wait for ever
	}
	if waited := suite.wait(ctx); waited != nil {
		return 0, fmt.Errorf("wstest: %w", waited)
	}
	if err != nil { // it says nothing until its end, where its output is buffered
		number, err = suite.says(ctx, willRun)
	}
	if err != nil {
		return 0, fmt.Errorf("wstest: %w", err)
	}
	return strconv.Atoi(number)
}

// playClient lets a client made with Dial play against the suite's server. It returns the number of
// cases.
func (s *settings) playClient(ctx context.Context, side side, folder string, plan *specification) (cases int, err error) {
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	plan.URL = "ws://" + address
	suite, err := s.startSuite("fuzzingserver", folder, plan, "--webport=0")
	if err != nil {
		return 0, err
	}
	defer func() {
		ended := suite.end()
		if err != nil && ended != nil { // a connection may fail before it is known that the suite has ended
			err = errors.Join(err, fmt.Errorf("wstest: %w", ended))
		}
	}()

	// Without the suite there is nothing to wait for.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(suite.ended, func() { cancel(errors.New("wstest has ended")) })()

	c := &client{url: plan.URL, agent: side.agent, options: websocket.DialOptions{
		Compression:      side.compressed,
		MaxMessageSize:   longest,
		HandshakeTimeout: patience,
	}}
	return c.play(ctx)
}

// freeAddress returns an address of the loopback interface on which no process listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
