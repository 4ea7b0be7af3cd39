// Command soak puts an endpoint under a mixed load with faults for a given time. At the end it
// checks that nothing was lost and nothing is left.
//
//	go run ./conformance/soak -for 30s
//
// Clients in the same process connect over TCP and TLS, with and without
// compression. Healthy ones exchange numbered messages with checksums, in both
// directions, over all ways to read and to write. Faulty ones reset, vanish, stall,
// flood, half-close, break the protocol, or are served by a controller that panics.
// Again and again, the Upgrader is shut down, or drained, and replaced by a new one. Some Upgraders have a
// MessageController, whose connections are parked whenever they are quiet.
//
// On healthy connections, every message must arrive once and in order, up to the last one before
// the close frame. The counts of the Upgraders and the clients must agree. After each
// Shutdown or Drain, no Conn may be reachable. At the end, descriptors, goroutines and the heap must be as
// at the start, and the heap must not have grown during the run.
//
// If there are problems, it prints them and exits with status 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	flags := flag.NewFlagSet("soak", flag.ExitOnError) // net/http/httptest has a flag of its own
	length := flags.Duration("for", 30*time.Second, "how long to put the load on")
	seed := flags.Uint64("seed", 1, "what the clients do depends on it; what comes first, on the scheduler")
	clients := flags.Int("clients", 40, "connections at the same time")
	_ = flags.Parse(os.Args[1:]) // exits

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *length, *seed, *clients); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// warmUp is how long the first load lasts, which makes everything that is only made once.
const warmUp = 2 * time.Second

func run(ctx context.Context, length time.Duration, seed uint64, clients int) error {
	warm := newSoak(seed, clients)
	warm.run(ctx, warmUp)
	if warm.problems.count() > 0 {
		return errors.New("while it warms up: " + warm.problems.String())
	}

	before := takeCensus()
	start := time.Now()
	s := newSoak(seed, clients)
	memory := watchMemory(ctx, length)
	s.run(ctx, length)
	s.checkMemory(memory())
	s.checkCensus(before)

	fmt.Printf("seed %d, %d clients, %v in all\n", seed, clients, time.Since(start).Round(time.Second))
	s.report(os.Stdout)
	if n := s.problems.count(); n > 0 {
		return errors.New(s.problems.String())
	}
	return nil
}
