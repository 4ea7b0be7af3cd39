package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	latencyRate  = 5000 // messages a second, over all connections
	latencyConns = 100
	latencySize  = 128 // bytes
)

func latencyWorkload() workload {
	return workload{
		name:  "latency",
		table: fmt.Sprintf("Latency at %s messages a second", thousands(latencyRate)),
		about: fmt.Sprintf("%s on %d connections at a fixed rate, whatever the replies do. From the instant a message was "+
			"due, so that a late one counts, to the reply.", bytesName(latencySize), latencyConns),
		unit: messageUnit, mode: echo, conns: latencyConns, first: true,
		columns: []column{
			{key: "p50", title: "p50, µs", compared: true, label: "p50, µs"},
			{key: "p99", title: "p99, µs", compared: true, label: "p99, µs"},
			{key: serverCPU, title: "server CPU, µs per message", compared: true},
		},
		run: func(ctx context.Context, l *load) (sample, error) {
			m := messages(opBinary, latencySize, l.im.raw)
			if err := l.connect(ctx, latencyConns, len(m[0].wire)); err != nil {
				return nil, err
			}
			if _, err := l.atFixedRate(m, l.warmup); err != nil {
				return nil, err
			}
			var latencies []float64
			s, err := l.cost(func() (n int64, err error) {
				latencies, err = l.atFixedRate(m, l.latency)
				return int64(len(latencies)), err
			})
			if err != nil {
				return nil, err
			}
			s["p50"] = percentile(latencies, 50)
			s["p99"] = percentile(latencies, 99)
			return s, nil
		},
	}
}

// atFixedRate sends at a fixed rate for the time d. It returns the latency of every message, in
// microseconds.
func (l *load) atFixedRate(m []message, d time.Duration) ([]float64, error) {
	const interval = time.Second / latencyRate
	turns := max(int(d/interval)/len(l.clients), 1) // of each connection
	due := func(start time.Time, i, turn int) time.Time {
		return start.Add(time.Duration(turn*len(l.clients)+i) * interval)
	}
	start := time.Now().Add(10 * time.Millisecond) // all readers are waiting by then
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			for turn := range turns {
				for i, c := range l.clients {
					for wait := time.Until(due(start, i, turn)); wait > 0; wait = time.Until(due(start, i, turn)) {
						sleepPrecisely(wait)
					}
					if _, err := c.nc.Write(m[(i+turn)%len(m)].wire); err != nil {
						l.abort()
						return err
					}
				}
			}
			return nil
		}()
	}()
	latencies := make([][]float64, len(l.clients))
	err := l.each(func(i int, c *client) error {
		for turn := range turns {
			if err := c.expect(&m[(i+turn)%len(m)]); err != nil {
				l.abort()
				return err
			}
			latencies[i] = append(latencies[i], microseconds(time.Since(due(start, i, turn))))
		}
		return nil
	})
	if sendErr := <-sent; err == nil {
		err = sendErr
	}
	return slices.Concat(latencies...), err
}

// abort makes all reads and writes fail, so that none waits for a message that was never sent.
func (l *load) abort() {
	for _, c := range l.clients {
		_ = c.nc.SetDeadline(time.Now()) // fails only if the connection is closed
	}
}
