package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// A scale determines how long and how large one measurement is.
type scale struct {
	warmup, phase time.Duration
	idle          int // connections of the memory workload
	members       int // of a broadcast
	growth        int // the largest number of connections of the echo
	latency       time.Duration
	quick         bool // the memory of idle connections, which hardly differs, is measured in one round

	minute time.Duration // of the workload of many idle connections
	away   time.Duration // a quiet time before a message, longer than ParkAfter
	most   int           // connections of these workloads; 0: as many as their names say
}

// atMost returns the number of connections of a workload whose name says that there are n.
func (s *scale) atMost(n int) int {
	if s.most > 0 {
		return min(n, s.most)
	}
	return n
}

var (
	fullScale = scale{
		warmup: 100 * time.Millisecond, phase: 250 * time.Millisecond,
		idle: 10_000, members: 2_000, growth: 10_000, latency: 1500 * time.Millisecond,
		minute: time.Minute, away: 7 * time.Second,
	}
	quickScale = scale{
		warmup: 50 * time.Millisecond, phase: 150 * time.Millisecond,
		idle: 10_000, members: 1_000, growth: 1_000, latency: 500 * time.Millisecond, quick: true,
		minute: time.Minute, away: 7 * time.Second,
	}
)

// cellTimeout bounds one measurement unless its workload says otherwise, from the start of its server to its end.
const cellTimeout = time.Minute

// A sample has the values of one measurement by the keys of their columns.
type sample map[string]float64

// A load is one measurement: one implementation, one workload.
type load struct {
	scale
	im      *implementation
	mode    mode
	server  *server
	clients []*client
}

// measure starts a server, runs the workload against it and stops both.
func measure(ctx context.Context, im *implementation, w *workload, s scale) (result sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(w.timeout, cellTimeout))
	defer cancel()
	l := &load{scale: s, im: im, mode: w.mode}
	if l.server, err = startServer(ctx, im, w.mode); err != nil {
		return nil, err
	}
	defer func() {
		l.hangUp()
		if stopErr := l.server.stop(); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
	}()
	return w.run(ctx, l)
}

func (l *load) hangUp() {
	for _, c := range l.clients {
		c.hangUp()
	}
	l.clients = nil
}

// dialers is how many connections are dialed at the same time.
const dialers = 16

// connect makes n connections. frame is the length of each frame that will be sent.
func (l *load) connect(ctx context.Context, n, frame int) error {
	l.clients = make([]*client, n)
	var next atomic.Int64
	err := parallel(dialers, func(int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return nil
			}
			c, err := dial(ctx, l.server.addr, l.im.raw, l.mode, frame)
			if err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			l.clients[i] = c
		}
	})
	if err != nil {
		made := l.clients[:0]
		for _, c := range l.clients {
			if c != nil {
				made = append(made, c)
			}
		}
		l.clients = made
	}
	return err
}

// each calls do for all clients at the same time, and returns the first error.
func (l *load) each(do func(i int, c *client) error) error {
	return parallel(len(l.clients), func(i int) error {
		if err := do(i, l.clients[i]); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		return nil
	})
}

// parallel runs n calls at the same time, waits for all and returns the first
// error.
func parallel(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for i := range n {
		wg.Go(func() {
			if err := do(i); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}

// Keys of the columns that most workloads have.
const (
	serverCPU = "server" // µs for one unit
	loadCPU   = "load"   // µs for one unit
	rate      = "rate"   // units a second
)

// cost returns the processor time of both processes for one unit of a phase. The phase returns
// its number of units when all of them are complete.
func (l *load) cost(phase func() (units int64, err error)) (sample, error) {
	before, err := l.server.usage(serving.AskCPU)
	if err != nil {
		return nil, err
	}
	ownBefore, err := serving.CPUTime()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	units, err := phase()
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	own, err := serving.CPUTime()
	if err != nil {
		return nil, err
	}
	after, err := l.server.usage(serving.AskCPU)
	if err != nil {
		return nil, err
	}
	if units == 0 {
		return nil, errors.New("nothing was done in the time there was")
	}
	return sample{
		serverCPU: microseconds(after.CPU-before.CPU) / float64(units),
		loadCPU:   microseconds(own-ownBefore) / float64(units),
		rate:      float64(units) / elapsed.Seconds(),
	}, nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// repeat calls do for all clients in loops that are independent of each other, for the time d.
// It returns the number of calls when all of them have returned.
func (l *load) repeat(d time.Duration, do func(i, turn int, c *client) error) (int64, error) {
	var calls atomic.Int64
	end := time.Now().Add(d)
	err := l.each(func(i int, c *client) error {
		turn := 0
		defer func() { calls.Add(int64(turn)) }()
		for turn == 0 || time.Now().Before(end) {
			if err := do(i, turn, c); err != nil {
				return err
			}
			turn++
		}
		return nil
	})
	return calls.Load(), err
}
