package testws

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// programPatience bounds each wait for a Program. Nothing waits for so long unless the test
// is about to fail.
const programPatience = 30 * time.Second

var listeningAt = regexp.MustCompile(`listening on (http://127\.0\.0\.1:[1-9][0-9]*)$`)

// A Program is a process that a test speaks to. Its methods belong to the goroutine of the
// test.
type Program struct {
	Stdin io.WriteCloser

	t       *testing.T
	command *exec.Cmd
	lines   chan string // of both outputs
	waited  bool
}

// BuildProgram builds the package in the test's folder and returns the path of the program.
func BuildProgram(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}

// StartProgram starts the program that BuildProgram builds, as StartCommand does.
func StartProgram(t *testing.T, arguments ...string) *Program {
	t.Helper()
	return StartCommand(t, exec.Command(BuildProgram(t), arguments...))
}

// StartCommand starts a command. It is killed at the end of the test if it still runs then.
func StartCommand(t *testing.T, command *exec.Cmd) *Program {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a process cannot be sent an interrupt")
	}
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	command.Stdout, command.Stderr = writer, writer
	require.NoError(t, startInterruptible(command))
	require.NoError(t, writer.Close())

	p := &Program{Stdin: stdin, t: t, command: command, lines: make(chan string, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for output := bufio.NewScanner(reader); output.Scan(); {
			p.lines <- output.Text()
		}
	}()
	t.Cleanup(func() {
		if !p.waited {
			_ = command.Process.Kill() // fails if it has ended
			_ = command.Wait()
		}
		_ = reader.SetReadDeadline(time.Now().Add(programPatience)) // a child of it may hold the pipe
		<-read
		_ = reader.Close()
		if t.Failed() {
			for line := range p.lines {
				t.Log(line)
			}
		}
	})
	return p
}

// startInterruptible starts a command that does not ignore interrupts, as what a script has in the
// background does: a shell could not trap them.
func startInterruptible(command *exec.Cmd) error {
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, os.Interrupt) // what has a handler here is not ignored there
	defer signal.Stop(handled)
	return command.Start()
}

// URL waits until the program says where it listens.
func (p *Program) URL() string {
	p.t.Helper()
	return p.Expect(listeningAt)[1]
}

// Expect waits for a line that matches and returns its submatches, as FindStringSubmatch
// does. Lines before it are passed over.
func (p *Program) Expect(pattern *regexp.Regexp) []string {
	p.t.Helper()
	var passed []string
	late := time.After(programPatience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				require.FailNow(p.t, "the program has ended", "it did not say %q, but:\n%s", pattern, strings.Join(passed, "\n"))
			}
			if match := pattern.FindStringSubmatch(line); match != nil {
				return match
			}
			passed = append(passed, line)
		case <-late:
			require.FailNow(p.t, "the program is silent", "it did not say %q, but:\n%s", pattern, strings.Join(passed, "\n"))
		}
	}
}

// ExpectText is Expect for a line that contains the text.
func (p *Program) ExpectText(text string) {
	p.t.Helper()
	p.Expect(regexp.MustCompile(regexp.QuoteMeta(text)))
}

// Interrupt is what Ctrl-C does.
func (p *Program) Interrupt() {
	p.t.Helper()
	require.NoError(p.t, p.command.Process.Signal(os.Interrupt))
}

// ExpectExit waits until the program has ended with the given status.
func (p *Program) ExpectExit(status int) {
	p.t.Helper()
	late := time.AfterFunc(programPatience, func() { _ = p.command.Process.Kill() })
	_ = p.command.Wait() // the state has it all
	p.waited = true
	assert.True(p.t, late.Stop(), "the program does not end")
	assert.Equal(p.t, status, p.command.ProcessState.ExitCode(), "exit status")
}

// Get returns the status and the trimmed body of a response.
func Get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	return do(t, http.MethodGet, address, nil)
}

// Post sends a form and returns the status and the trimmed body of the response.
func Post(t *testing.T, address string, form url.Values) (status int, body string) {
	t.Helper()
	return do(t, http.MethodPost, address, form)
}

// do sends a request. The connection is not kept.
func do(t *testing.T, method, address string, form url.Values) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	response, err := client.Do(request)
	require.NoError(t, err)
	all, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, strings.TrimSpace(string(all))
}
