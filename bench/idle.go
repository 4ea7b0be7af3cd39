package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// idleSizes are the numbers of connections of the workload of idle connections, with the names that
// -run knows them by.
var idleSizes = []struct {
	name  string
	conns int
}{{"1k", 1000}, {"6k", 6000}, {"18k", 18_000}}

// idleWorkloads show what idle connections need when there are more and more of them.
func idleWorkloads(s scale) []workload {
	var all []workload
	for _, size := range idleSizes {
		conns := s.atMost(size.conns)
		all = append(all, workload{
			name:    "idle " + size.name,
			table:   "Many idle connections",
			variant: thousands(size.conns),
			about: "Connections in one server that send nothing and answer pings: KiB for each, counted as in the memory " +
				"of an idle connection, and the processor time of the server in a minute, for all together. It has " +
				"what the implementation does by default: this library pings each connection twice. It is measured once.",
			unit: connUnit, mode: echo, conns: conns, once: true, named: true, timeout: 4 * cellTimeout, among: amongIdle,
			columns: []column{
				{key: "heap", title: "heap and stacks, KiB", compared: true},
				{key: "heap rss", title: "resident, KiB", compared: true},
				{key: "minute", title: "server CPU in a minute, ms", compared: true},
			},
			run: func(ctx context.Context, l *load) (sample, error) { return l.idleMinute(ctx, conns) },
		})
	}
	return all
}

// amongIdle leaves out what would take another minute and is known from the memory of an idle connection.
func amongIdle(im *implementation) bool {
	return slices.Contains([]string{oursName, messagesName, gorillaName, gwsName, nbioName}, im.name)
}

func (l *load) idleMinute(ctx context.Context, conns int) (sample, error) {
	base, err := l.server.usage(serving.AskMemory)
	if err != nil {
		return nil, err
	}
	frame := len(messages(opBinary, 1, l.im.raw)[0].wire) // none is sent
	if err := l.connect(ctx, conns, frame); err != nil {
		return nil, err
	}
	result := sample{}
	if err := l.countMemory(result, "heap", base); err != nil {
		return nil, err
	}
	before, err := l.server.usage(serving.AskCPU)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(l.minute)
	if err := l.each(func(_ int, c *client) error { return c.idleUntil(end) }); err != nil {
		return nil, err
	}
	after, err := l.server.usage(serving.AskCPU)
	if err != nil {
		return nil, err
	}
	result["minute"] = microseconds(after.CPU-before.CPU) / 1000 * float64(time.Minute) / float64(l.minute)
	return result, nil
}

// idleUntil answers pings. Anything else is an error.
func (c *client) idleUntil(end time.Time) error {
	if err := c.nc.SetReadDeadline(end); err != nil {
		return err
	}
	_, err := c.readFrame()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err == nil:
		return errors.New("a message to a connection that has sent none")
	default:
		return fmt.Errorf("an idle connection ended: %w", err)
	}
}
