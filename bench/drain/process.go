package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// The roles of the processes that the program starts.
const (
	roleServer  = "role:server"
	roleClients = "role:clients"
)

// A process is one that the program has started. The two exchange JSON values, by the standard
// input and output. A process ends when its standard input does.
type process struct {
	role   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	values *json.Decoder
}

func start(ctx context.Context, role string, arguments ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: role, cmd: exec.CommandContext(ctx, self, append([]string{role}, arguments...)...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = 5 * time.Second
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.values = json.NewDecoder(out)
	return p, p.cmd.Start()
}

// tell sends a value to the process.
func (p *process) tell(value any) error {
	if err := json.NewEncoder(p.in).Encode(value); err != nil {
		return fmt.Errorf("%s: %w", p.role, err)
	}
	return nil
}

// hear receives a value from the process. Nil drops it.
func (p *process) hear(value any) error {
	if value == nil {
		value = new(any)
	}
	if err := p.values.Decode(value); err != nil {
		return fmt.Errorf("%s: %w", p.role, err)
	}
	return nil
}

// stop ends the process.
func (p *process) stop() error {
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.role, err)
	}
	return nil
}
