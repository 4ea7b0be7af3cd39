package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if err := asked(os.Args[1:]); !errors.Is(err, errNotAsked) { // the program of the test runs itself
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A process with the race detector waits for a second before it ends.
	if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestCommand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processor time is measured on Linux only")
	}
	for _, arguments := range []string{"-clients=20 -over=1s", "-clients=5 -over=300ms -tls"} {
		var out bytes.Buffer
		require.NoError(t, command(strings.Fields(arguments), &out))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 6, out.String())
		columns := strings.Count(lines[2], "|")
		for i, start := range []string{"| A ends by |", "| --- |", "| `Shutdown` |", "| `Drain` over"} {
			assert.True(t, strings.HasPrefix(lines[2+i], start) || i == 1, lines[2+i])
			assert.Equal(t, columns, strings.Count(lines[2+i], "|"), lines[2+i])
		}
	}
}

func TestCommandRefusesArguments(t *testing.T) {
	for _, arguments := range []string{"-clients=0", "-over=-1s", "more"} {
		require.Error(t, command([]string{arguments}, new(bytes.Buffer)))
	}
}

// A result with a client that was cut, or that has not come back, is no result.
func TestCheck(t *testing.T) {
	good := func() result {
		return result{
			ending:  ending{Name: "Drain"},
			a:       serverReport{Codes: map[int]uint64{1012: 2}},
			b:       serverReport{Samples: []sample{{}, {Handshakes: 2}}},
			clients: clientsReport{Codes: map[int]int{1012: 2}, Away: make([]time.Duration, 2)},
		}
	}
	p := plan{clients: 2}
	require.NoError(t, good().check(p))
	for name, spoil := range map[string]func(*result){
		"cut":              func(r *result) { r.clients.Codes = map[int]int{1012: 1, 1006: 1} },
		"other close code": func(r *result) { r.a.Codes = map[int]uint64{1001: 2} },
		"not back":         func(r *result) { r.clients.Away = r.clients.Away[:1] },
		"not on B":         func(r *result) { r.b.Samples[1].Handshakes = 1 },
	} {
		r := good()
		spoil(&r)
		require.Error(t, r.check(p), name)
	}
}

func TestBusiest(t *testing.T) {
	var samples []sample
	for i, handshakes := range []uint64{0, 0, 10, 60, 80, 80, 81} {
		samples = append(samples, sample{At: time.Duration(i) * sampleEvery, Handshakes: handshakes, CPU: time.Duration(handshakes)})
	}
	assert.Equal(t, sample{Handshakes: 50, CPU: 50}, busiest(samples, sampleEvery))
	assert.Equal(t, sample{Handshakes: 80, CPU: 80}, busiest(samples, 3*sampleEvery))
	assert.Equal(t, sample{Handshakes: 81, CPU: 81}, busiest(samples, time.Second))
}

func TestQuantiles(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(i)*time.Second)
	}
	assert.Equal(t, "50s, 1m39s, 1m39s", quantiles(times))
	assert.Equal(t, "7s, 7s, 7s", quantiles(times[7:8]))
}
