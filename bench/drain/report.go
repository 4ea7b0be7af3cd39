package main

import (
	"fmt"
	"time"
)

// closeCodes are the codes of the close frames by which an ending ends connections.
var closeCodes = map[string]int{"Shutdown": 1001, "Drain": 1012}

// A result is one row of the table.
type result struct {
	ending  ending
	a, b    serverReport
	clients clientsReport
}

// check returns an error unless every client was told to go, and was served again.
func (r result) check(p plan) error {
	code := closeCodes[r.ending.Name]
	switch {
	case r.clients.Codes[code] != p.clients:
		return fmt.Errorf("the clients got the codes %v: want only %d", r.clients.Codes, code)
	case r.a.Codes[code] != uint64(p.clients):
		return fmt.Errorf("server A has sent the codes %v: want only %d", r.a.Codes, code)
	case len(r.clients.Away) != p.clients:
		return fmt.Errorf("%d clients of %d are back", len(r.clients.Away), p.clients)
	case r.b.Samples[len(r.b.Samples)-1].Handshakes < uint64(p.clients):
		return fmt.Errorf("server B has had %d handshakes of %d", r.b.Samples[len(r.b.Samples)-1].Handshakes, p.clients)
	default:
		return nil
	}
}

// String returns the row of the table.
func (r result) String() string {
	second, moment := busiest(r.b.Samples, time.Second), busiest(r.b.Samples, sampleEvery)
	last := r.b.Samples[len(r.b.Samples)-1]
	failed := ""
	if n := r.clients.Failed; n > 0 {
		failed = fmt.Sprintf("; %d failed", n)
	}
	return fmt.Sprintf("| %v | %d | %d | %v | %v | %s%s | %s | %v | %v |", r.ending, second.Handshakes, moment.Handshakes,
		second.CPU.Round(10*time.Millisecond), last.CPU.Round(10*time.Millisecond),
		quantiles(r.clients.Handshakes), failed, quantiles(r.clients.Away),
		r.a.Took.Round(10*time.Millisecond), r.clients.LastBack.Round(10*time.Millisecond))
}

// busiest returns the largest numbers of handshakes and of processor time within any window of the
// samples.
func busiest(samples []sample, window time.Duration) (most sample) {
	const late = sampleEvery / 2 // a sample may be taken late
	from := 0
	for _, to := range samples {
		for to.At-samples[from].At > window+late {
			from++
		}
		most.Handshakes = max(most.Handshakes, to.Handshakes-samples[from].Handshakes)
		most.CPU = max(most.CPU, to.CPU-samples[from].CPU)
	}
	return most
}

// quantiles returns the median, the 99th percentile and the largest of sorted times.
func quantiles(sorted []time.Duration) string {
	at := func(q float64) time.Duration {
		return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("%v, %v, %v", at(0.5), at(0.99), at(1))
}
