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
	roleClients = "role:clients"
	roleNATS    = "role:nats"
)

// A process is one that the program has started. The two exchange JSON values, by the standard
// input and output. A process ends when its standard input does.
type process struct {
	role   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Encoder
	values *json.Decoder
}

func start(ctx context.Context, role string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: role, cmd: exec.CommandContext(ctx, self, role)}
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = 5 * time.Second
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out, p.values = json.NewEncoder(p.in), json.NewDecoder(out)
	return p, p.cmd.Start()
}

// ask sends a value to the process, and receives another one.
func (p *process) ask(question, answer any) error {
	err := p.out.Encode(question)
	if err == nil {
		err = p.values.Decode(answer)
	}
	if err != nil {
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
