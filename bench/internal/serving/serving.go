// Package serving is the server process of a measurement: one implementation on a
// free port of 127.0.0.1, which tells over its standard output what it uses.
package serving

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// MaxMessageSize is the limit that every implementation gets where it has such a
// setting: the longest message that is sent, in bytes.
const MaxMessageSize = 1 << 20

// CompressionThreshold is the length in bytes from which on messages are compressed, where an
// implementation has such a setting: shorter than any that is sent in such a mode.
const CompressionThreshold = 128

// A Mode is what a server does with the messages it receives. In all of them
// text is checked: one that is not UTF-8 ends the connection.
type Mode string

// The modes.
const (
	Echo      Mode = "echo"      // sends it back
	Deflate   Mode = "deflate"   // the same, with permessage-deflate and no context takeover
	Context15 Mode = "context15" // the same, with context takeover and windows of 15 bits
	Context12 Mode = "context12"
	Context9  Mode = "context9"
	Broadcast Mode = "broadcast" // sends it to every connection, its sender too

	// BroadcastContext is Broadcast with permessage-deflate, context takeover and windows of 15 bits.
	BroadcastContext Mode = "broadcast-context"
)

// Broadcasts reports whether a message goes to every connection.
func (m Mode) Broadcasts() bool { return m == Broadcast || m == BroadcastContext }

// Compresses reports whether there is permessage-deflate.
func (m Mode) Compresses() bool { return m == Deflate || m.WindowBits() > 0 }

// WindowBits returns the size of both windows if there is context takeover, else 0. It is the
// logarithm of a number of bytes.
func (m Mode) WindowBits() int {
	switch m {
	case Context15, BroadcastContext:
		return 15
	case Context12:
		return 12
	case Context9:
		return 9
	default:
		return 0
	}
}

// command is the first argument of a server process.
const command = "serve"

// Arguments returns the arguments of a server process, without the program's name.
func Arguments(implementation string, m Mode) []string {
	return []string{command, implementation, string(m)}
}

// Asked returns what Arguments made os.Args of; ok is false for others.
func Asked(args []string) (implementation string, m Mode, ok bool) {
	if len(args) != 4 || args[1] != command {
		return "", "", false
	}
	return args[2], Mode(args[3]), true
}

// A Usage is what a server process tells of itself over its standard output
// when it is asked by a line on its standard input.
type Usage struct {
	CPU   time.Duration // user and system
	Heap  uint64        // bytes in use
	Stack uint64        // bytes
	RSS   uint64        // bytes
}

// The questions.
const (
	AskCPU    = "cpu"
	AskMemory = "memory" // after garbage collection; takes a while
)

// Run is the server process: it serves, prints the address once serve calls
// ready, which it does at most once, answers questions and returns with the end
// of its standard input. That serve returns is an error. It is not waited for:
// it ends with the process.
func Run(implementation string, serve func(ready func(addr string)) error) error {
	listening := make(chan string, 1)
	failed := make(chan error, 1)
	go func() { failed <- serve(func(addr string) { listening <- addr }) }()
	questions := make(chan string)
	go func() {
		defer close(questions)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			questions <- s.Text()
		}
	}()

	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("bench: %s stopped: %w", implementation, err)
		case addr := <-listening:
			fmt.Println(addr)
		case question, ok := <-questions:
			if !ok {
				return nil
			}
			u, err := currentUsage(question == AskMemory)
			if err != nil {
				return err
			}
			if err := out.Encode(u); err != nil {
				return err
			}
		}
	}
}

func currentUsage(memory bool) (Usage, error) {
	var u Usage
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
	u.CPU, err = CPUTime()
	return u, err
}
