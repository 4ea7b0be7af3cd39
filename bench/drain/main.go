// Command drain measures what the end of a server costs the server that takes its clients.
//
//	go run ./drain -clients 5000 -over 10s
//
// Three processes of it take part: a server A to which all clients are connected, a server B, and
// the clients. A ends, once by Shutdown and once by Drain. Each client reconnects to B after a random
// time, as a page does, and sends a message until it has an answer. The report says how many
// handshakes B has had at its busiest moment, how much processor time it took, and how long the clients
// were away.
//
// It needs Linux, and as many file descriptors in each process as there are clients.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	err := asked(os.Args[1:])
	if errors.Is(err, errNotAsked) {
		err = command(os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "drain:", err)
		os.Exit(1)
	}
}

// errNotAsked is the error of asked in a process that no other process of the program has started.
var errNotAsked = errors.New("not asked")

// asked does the work of a process that the program has started itself.
func asked(args []string) error {
	switch {
	case len(args) < 1:
		return errNotAsked
	case args[0] == roleServer:
		return serve(os.Stdin, os.Stdout, len(args) > 1)
	case args[0] == roleClients:
		return connect(os.Stdin, os.Stdout)
	default:
		return errNotAsked
	}
}

// A plan is what is measured.
type plan struct {
	clients int
	over    time.Duration
	tls     bool
}

// command runs the program with arguments.
func command(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("drain", flag.ContinueOnError)
	var p plan
	flags.IntVar(&p.clients, "clients", 5000, "`number` of clients")
	flags.DurationVar(&p.over, "over", 10*time.Second, "the time over which Drain spreads them")
	flags.BoolVar(&p.tls, "tls", false, "the servers do TLS themselves")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if p.clients < 1 || p.over < 0 || flags.NArg() > 0 {
		return errors.New("want a number of clients, a time that is not negative, and no other arguments")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return p.measureAll(ctx, out)
}

// measureAll measures each way to end a server, and writes the table.
func (p plan) measureAll(ctx context.Context, out io.Writer) error {
	protocol := "plain TCP"
	if p.tls {
		protocol = "TLS"
	}
	columns := []string{"A ends by", "handshakes in the busiest second", "in the busiest 100 ms", "processor time of B in its busiest second",
		"of B", "a handshake took p50, p99, longest", "a client was away p50, p99, longest", "A took", "the last client was back after"}
	_, _ = fmt.Fprintf(out, "%d clients, %s\n\n| %s |\n|%s\n", p.clients, protocol, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
	for _, end := range []ending{{Name: "Shutdown"}, {Name: "Drain", Over: p.over}} {
		r, err := p.measure(ctx, end)
		if err != nil {
			return fmt.Errorf("%s: %w", end, err)
		}
		if err := r.check(p); err != nil {
			return fmt.Errorf("%s: %w", end, err)
		}
		_, _ = fmt.Fprintln(out, r)
	}
	return nil
}

// measure has the clients connect to A, ends A, and waits until they all are on B.
func (p plan) measure(ctx context.Context, end ending) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute+2*p.over)
	defer cancel()
	r.ending = end
	var arguments []string
	if p.tls {
		arguments = []string{"tls"}
	}
	a, err := start(ctx, roleServer, arguments...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	b, err := start(ctx, roleServer, arguments...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	clients, err := start(ctx, roleClients)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, clients.stop()) }()

	var addresses [2]string
	for i, server := range []*process{a, b} {
		if err := server.hear(&addresses[i]); err != nil {
			return r, err
		}
	}
	err = errors.Join(
		clients.tell(assignment{Clients: p.clients, Addresses: addresses, TLS: p.tls}),
		clients.hear(nil), // they are all connected
		a.tell(end),
		a.hear(&r.a),
	)
	if err != nil {
		return r, err
	}
	return r, errors.Join(
		clients.hear(&r.clients),
		b.tell(ending{}),
		b.hear(&r.b),
	)
}
