package main

import (
	"context"
	"time"
)

const (
	wakeConns    = 1000
	wakeSize     = 128 // bytes
	wakeOrdinary = 5   // ordinary messages of a connection
)

// wakeWorkload compares the first message after a quiet time with those that follow.
func wakeWorkload(s scale) workload {
	conns := s.atMost(wakeConns)
	return workload{
		name:  "wake",
		table: "The first message after a quiet time",
		about: bytesName(wakeSize) + " on each of " + thousands(wakeConns) + " connections that were quiet for 7 seconds, one " +
			"connection after the other, beside an ordinary message: the same again, at once. A connection of a message controller " +
			"has no goroutine after the quiet time. At this rate the server sleeps before each message, so all cost more than " +
			"under load.",
		unit: messageUnit, mode: echo, conns: conns, named: true,
		columns: []column{
			{key: "first", title: "server CPU of the first, µs", compared: true},
			{key: serverCPU, title: "of an ordinary one, µs", compared: true},
			{key: "first p50", title: "reply to the first, p50, µs", compared: true},
			{key: "p50", title: "to an ordinary one, p50, µs", compared: true},
		},
		run: func(ctx context.Context, l *load) (sample, error) { return l.wake(ctx, conns) },
	}
}

func (l *load) wake(ctx context.Context, conns int) (sample, error) {
	m := messages(opBinary, wakeSize, l.im.raw)
	if err := l.connect(ctx, conns, len(m[0].wire)); err != nil {
		return nil, err
	}
	if _, err := l.inTurn(m, 2); err != nil { // all memory that a message needs is there
		return nil, err
	}
	time.Sleep(l.away)
	first, firstP50, err := l.costInTurn(m, 1)
	if err != nil {
		return nil, err
	}
	if _, err := l.inTurn(m, 2); err != nil { // a connection that has two messages in a short time is busy
		return nil, err
	}
	ordinary, p50, err := l.costInTurn(m, wakeOrdinary)
	if err != nil {
		return nil, err
	}
	return sample{"first": first, "first p50": firstP50, serverCPU: ordinary, "p50": p50}, nil
}

// costInTurn is inTurn with the processor time of the server for one message and the median of the
// replies, both in microseconds.
func (l *load) costInTurn(m []message, turns int) (cpu, p50 float64, err error) {
	var latencies []float64
	s, err := l.cost(func() (n int64, err error) {
		latencies, err = l.inTurn(m, turns)
		return int64(len(latencies)), err
	})
	return s[serverCPU], percentile(latencies, 50), err
}

// inTurn exchanges a message on one connection after the other, as often as turns says. It returns
// how long each reply took, in microseconds.
func (l *load) inTurn(m []message, turns int) ([]float64, error) {
	latencies := make([]float64, 0, turns*len(l.clients))
	for turn := range turns {
		for i, c := range l.clients {
			start := time.Now()
			if err := c.exchange(&m[(i+turn)%len(m)]); err != nil {
				return nil, err
			}
			latencies = append(latencies, microseconds(time.Since(start)))
		}
	}
	return latencies, nil
}
