package main

import (
	"bytes"
	"context"
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

// Every workload measures something, and every message arrives: otherwise the program fails.
func TestCommand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processor time is measured on Linux only")
	}
	var out bytes.Buffer
	require.NoError(t, command([]string{"-share=100", "-rounds=1"}, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Greater(t, len(lines), 40, out.String())
	for _, line := range lines {
		assert.Equal(t, strings.Count(lines[0], "|"), strings.Count(line, "|"), line)
	}
	for _, part := range []string{
		"50 rooms", "from another node", "with a history", "missed, and the node has them", "by NATS", "the last third enters", "10000 subjects wait",
	} {
		assert.Contains(t, out.String(), part)
	}
}

func TestCommandRefusesArguments(t *testing.T) {
	for _, argument := range []string{"-rounds=0", "-share=0", "-run=(", "-run=nothing", "more"} {
		require.Error(t, command([]string{argument}, new(bytes.Buffer)), argument)
	}
}

// Each round has ratios of its own, and the first round does not count.
func TestTakeTurns(t *testing.T) {
	times := map[string][]time.Duration{"one": {9, 10, 20, 30}, "two": {9, 20, 20, 90}}
	var ways []way
	for i, name := range []string{"one", "two"} {
		ways = append(ways, way{name: name, each: "turn", base: 0, run: func(context.Context) (cost, error) {
			took := times[name][0]
			times[name] = times[name][1:]
			return cost{operations: 10, cpu: 10 * took * time.Microsecond, bytes: int64(10 * i)}, nil
		}})
	}
	rows, err := takeTurns(t.Context(), 3, ways)
	require.NoError(t, err)
	assert.Equal(t, "| one | turn | 20 | 10 to 30 |  |  |  |", rows[0].String())
	assert.Equal(t, "| two | turn | 20 | 20 to 90 | 2.00 | 1.00 to 3.00 | 1 |", rows[1].String())
}

// An answer that is not what was asked for is no result.
func TestCheck(t *testing.T) {
	require.NoError(t, answer{Received: 3}.check(request{Await: 3}))
	require.Error(t, answer{Received: 2}.check(request{Await: 3}))
	require.Error(t, answer{Received: 3, Error: "refused"}.check(request{Await: 3}))
}
