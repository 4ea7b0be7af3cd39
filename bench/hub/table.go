package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// A way is one of several ways that take turns.
type way struct {
	name string
	each string // what an operation is
	run  func(context.Context) (cost, error)
	base int // the index of the way that this one is compared with; its own: none
}

// A cost is what some operations have cost.
type cost struct {
	operations int
	cpu        time.Duration
	bytes      int64 // for other nodes; 0: it is not counted
}

// A row is a line of the table.
type row struct {
	what, each string
	cpu        []float64 // µs of an operation, in each round
	ratios     []float64 // of them to those of another way, in the same round
	bytes      float64   // of an operation
}

const tableHeader = `| what | for each | CPU, µs | lowest to highest | ratio | lowest to highest | bytes |
| --- | --- | ---: | ---: | ---: | ---: | ---: |`

func (r row) String() string {
	ratio, span, bytes := "", "", ""
	if len(r.ratios) > 0 {
		ratio, span = fmt.Sprintf("%.2f", median(r.ratios)), fmt.Sprintf("%.2f to %.2f", slices.Min(r.ratios), slices.Max(r.ratios))
	}
	if r.bytes > 0 {
		bytes = fmt.Sprintf("%.0f", r.bytes)
	}
	return fmt.Sprintf("| %s | %s | %s | %s to %s | %s | %s | %s |",
		r.what, r.each, short(median(r.cpu)), short(slices.Min(r.cpu)), short(slices.Max(r.cpu)), ratio, span, bytes)
}

// short formats a number with three digits, or all of a larger one before the point.
func short(n float64) string {
	if n >= 100 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}

// median returns the median of numbers, of which there is at least one.
func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// takeTurns measures ways in rounds, each once in a round, after a first round that does not count.
func takeTurns(ctx context.Context, rounds int, ways []way) ([]row, error) {
	rows := make([]row, len(ways))
	for round := range 1 + rounds {
		costs := make([]float64, len(ways))
		for i, w := range ways {
			runtime.GC()
			c, err := w.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			costs[i] = c.each()
			r := &rows[i]
			r.what, r.each = w.name, w.each
			r.bytes = float64(c.bytes) / float64(c.operations)
		}
		if round == 0 {
			continue
		}
		for i, w := range ways {
			rows[i].cpu = append(rows[i].cpu, costs[i])
			if w.base != i {
				rows[i].ratios = append(rows[i].ratios, costs[i]/costs[w.base])
			}
		}
	}
	return rows, nil
}

// each returns the processor time of an operation in µs.
func (c cost) each() float64 {
	return float64(c.cpu) / float64(time.Microsecond) / float64(c.operations)
}

// timed returns the processor time that this process takes for a function.
func timed(f func() error) (time.Duration, error) {
	before, err := serving.CPUTime()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := serving.CPUTime()
	return after - before, err
}
