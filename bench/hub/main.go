// Command hub measures what the hub costs: processor time and bytes of audiences, histories, presence
// and conflation.
//
//	go run .
//	go run . -run 'history|presence' -share 10
//
// The clients, Redis and a NATS server are processes of their own, and their processor time does not
// count. It needs Linux. Without the program redis-server, the rows of Redis are missing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
)

func main() {
	err := asked(os.Args[1:])
	if errors.Is(err, errNotAsked) {
		err = command(os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hub:", err)
		os.Exit(1)
	}
}

// errNotAsked is the error of asked in a process that no other process of the program has started.
var errNotAsked = errors.New("not asked")

// asked does the work of a process that the program has started itself.
func asked(args []string) error {
	switch {
	case slices.Equal(args, []string{roleClients}):
		return connect(os.Stdin, os.Stdout)
	case slices.Equal(args, []string{roleNATS}):
		return serveNATS(os.Stdin, os.Stdout)
	default:
		return errNotAsked
	}
}

// A plan is how much is measured.
type plan struct {
	selected *regexp.Regexp
	rounds   int
	share    int // the workloads are divided by it
}

// of returns a share of a number of operations.
func (p plan) of(n int) int { return max(n/p.share, 3) }

// command runs the program with arguments.
func command(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hub", flag.ContinueOnError)
	selected := flags.String("run", ".", "a `pattern` of the names of what is measured")
	rounds := flags.Int("rounds", 3, "the `number` of rounds, in which all ways take turns")
	share := flags.Int("share", 1, "measure only one part of a `number` of parts, which says less")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*selected)
	if err != nil {
		return err
	}
	if *rounds < 1 || *share < 1 || flags.NArg() > 0 {
		return errors.New("want at least one round, at least one part, and no other arguments")
	}
	p := plan{selected: pattern, rounds: *rounds, share: *share}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return p.measureAll(ctx, out)
}

// A workload is measured by itself. It closes what it has opened.
type workload struct {
	name    string
	measure func(context.Context, plan) ([]row, error)
}

var workloads = []workload{
	{"audience", measureAudiences},
	{"history", measureHistories},
	{"resume", measureResuming},
	{"presence", measurePresence},
	{"latest", measureLatest},
}

// measureAll measures the selected workloads, and writes the table.
func (p plan) measureAll(ctx context.Context, out io.Writer) error {
	_, _ = fmt.Fprintln(out, tableHeader)
	n := 0
	for _, w := range workloads {
		if !p.selected.MatchString(w.name) {
			continue
		}
		n++
		rows, err := w.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		for _, r := range rows {
			_, _ = fmt.Fprintln(out, r)
		}
	}
	if n == 0 {
		return fmt.Errorf("nothing is called %s", p.selected)
	}
	return nil
}
