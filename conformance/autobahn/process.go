package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// A process is a program that was started. The caller of start must call end, which waits for it.
// Its methods may be called by one goroutine at a time. Once ended is done, any goroutine may call
// failure.
type process struct {
	command *exec.Cmd
	log     string // the file that it writes its output to

	// farewell is how long it has to end after it was asked to. The echo example may take 15
	// seconds for its clients.
	farewell time.Duration

	ended context.Context // done when the process has ended
	err   error           // how it ended; set before ended is done
}

// start starts a program that writes to a log, in the folder of the log. The call of end ends it,
// together with its children on systems with process groups.
func start(log, program string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the process has its own
	p := &process{command: exec.Command(program, args...), log: log, farewell: 20 * time.Second}
	p.command.Dir = filepath.Dir(log)
	p.command.Stdout, p.command.Stderr = file, file
	p.command.Env = append(os.Environ(), "PYTHONUNBUFFERED=1")
	inGroup(p.command)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	ended, end := context.WithCancel(context.Background())
	p.ended = ended
	go func() {
		p.err = p.command.Wait()
		end()
	}()
	return p, nil
}

// wait waits until the process ends, and returns an error if it fails or if ctx is done before.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ended.Done():
		if p.err != nil {
			return p.failure()
		}
		return nil
	case <-ctx.Done():
		return p.withLog(context.Cause(ctx))
	}
}

// failure returns an error that says how the process ended, which it should not have done.
func (p *process) failure() error {
	if p.err == nil {
		return p.withLog(errors.New("it has ended"))
	}
	return p.withLog(p.err)
}

// withLog adds the end of the log to an error.
func (p *process) withLog(err error) error {
	const most = 2000
	log, _ := os.ReadFile(p.log)
	return fmt.Errorf("%w; it said:\n%s", err, log[max(0, len(log)-most):])
}

// says waits until the log has what the pattern matches, and returns its first submatch.
func (p *process) says(ctx context.Context, pattern *regexp.Regexp) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it does not say %q within %v", pattern, patience))
	defer cancel()
	for {
		over := p.ended.Err() != nil // before the log is read: it may have been written to until then
		log, err := os.ReadFile(p.log)
		if err != nil {
			return "", err
		}
		if match := pattern.FindSubmatch(log); match != nil {
			return string(match[1]), nil
		}
		if over {
			return "", fmt.Errorf("it did not say %q: %w", pattern, p.failure())
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.ended.Done():
		case <-ctx.Done():
			return "", p.withLog(context.Cause(ctx))
		}
	}
}

// end asks the process to end, waits for it, and returns how it ended. It kills the process if
// that takes too long.
func (p *process) end() error {
	if ask(p.command) != nil && destroy(p.command) == nil { // where a process cannot be asked, as on Windows
		<-p.ended.Done()
		return nil
	} // if neither is possible, it has ended
	select {
	case <-p.ended.Done():
	case <-time.After(p.farewell):
		p.kill()
		return p.withLog(fmt.Errorf("it did not end within %v", p.farewell))
	}
	p.kill() // what it has left
	if p.err != nil {
		return p.failure()
	}
	return nil
}

// kill ends the process and waits for it.
func (p *process) kill() {
	_ = destroy(p.command) // fails if it has ended
	<-p.ended.Done()
}
