package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixedReport has two workloads in one table: in the binary one gws is clearly
// cheaper than ours, in the text one only sometimes.
func fixedReport() *report {
	r := newReport(3)
	r.Environment = environment{
		Command: "go run . -o ../docs", Date: "2026-01-31", CPU: "Abacus 3000", CPUs: 2, Kernel: "Linux 6.1", Go: "go1.26.0", Others: 0.123,
		Versions: map[string]string{"ours.test/ws": "commit abc", "gws.test": "v1.2.3", "below.test": "v4"},
	}
	r.Implementations = []implementation{
		{name: "ours", ours: true, module: "ours.test/ws", config: "defaults"},
		{name: rawName, raw: true},
		{name: gorillaName, module: "gorilla.test"},
		{name: "gws", module: "gws.test", below: []string{"below.test"}},
	}
	for _, variant := range []string{"", "text"} {
		r.Workloads = append(r.Workloads, workload{
			name: "echo" + variant, table: "Echo", variant: variant, about: "There and back.", unit: messageUnit,
			columns: costColumns(messageUnit), charted: variant == "",
		})
	}
	add := func(workload, implementation int, cpu ...float64) {
		c := r.cell(&r.Workloads[workload], &r.Implementations[implementation])
		for _, v := range cpu {
			c.samples = append(c.samples, sample{serverCPU: v, loadCPU: 1, rate: 12345.6})
		}
	}
	add(0, 0, 3, 4, 5)
	add(0, 1, 1, 2, 2)
	add(0, 2, 8, 9, 7)
	add(0, 3, 2.5, 2.9, 2.7)
	add(1, 0, 3, 4, 5)
	add(1, 1, 1, 2, 2)
	add(1, 3, 3.5, 3.9, 3.7)
	r.cell(&r.Workloads[1], &r.Implementations[2]).missing = "failed: a | b\nc"
	r.Skipped = []string{"Growth: too many"}
	return r
}

func markdown(t *testing.T, r *report) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, r.writeMarkdown(&b))
	return b.String()
}

func TestReportBeginsWithLosses(t *testing.T) {
	text := markdown(t, fixedReport())
	assert.Contains(t, text, "In 2 of 2 comparisons a peer has a smaller median.")
	assert.Contains(t, text, "| Echo | server CPU, µs per message | 4.00 | gws | 2.70 | 1.48 | 1 | yes |\n"+
		"| Echo, text | server CPU, µs per message | 4.00 | gws | 3.70 | 1.08 | 1 | no |\n")
	assert.Less(t, strings.Index(text, "## Where this library loses"), strings.Index(text, "## Echo"))
}

func TestReportWithoutLossesSaysSo(t *testing.T) {
	r := fixedReport()
	r.Implementations = r.Implementations[:3] // without gws
	assert.Contains(t, markdown(t, r), "In none of 2 comparisons does a peer have a smaller median.")
}

func TestRowsHaveMedianSpreadAndRatios(t *testing.T) {
	text := markdown(t, fixedReport())
	for _, row := range []string{
		"| **ours** | 4.00 | 3.00–5.00 | 2.00 | 0.50 | 1.00 | 12,346 |",
		"| **ours**, text | 4.00 | 3.00–5.00 | 2.00 | – | 1.00 | 12,346 |",
		"| raw TCP | 2.00 | 1.00–2.00 | 1.00 | 0.25 | 1.00 | 12,346 |",
		"| gorilla/websocket, text | missing, see above | – | – | – | – | – |",
	} {
		assert.Contains(t, text, row+"\n")
	}
	assert.Equal(t, 1, strings.Count(text, "## Echo\n"), "both variants are in one table")
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	text := markdown(t, fixedReport())
	assert.Contains(t, text, "- skipped: Growth: too many\n")
	assert.Contains(t, text, `- gorilla/websocket, Echo, text: failed: a \| b c`+"\n")
}

func TestReportTellsWhereAndWithWhat(t *testing.T) {
	text := markdown(t, fixedReport())
	for _, part := range []string{
		"`go run . -o ../docs`", "2026-01-31", "medians of 3 rounds", "Abacus 3000", "Linux 6.1", "go1.26.0", "took 12 %",
		"| ours | commit abc | defaults |", "| gws | v1.2.3; below.test v4 |", "| gorilla/websocket | unknown |", "| raw TCP | – |",
	} {
		assert.Contains(t, text, part)
	}
}

func TestVersionsOfAProgramAreItsOwn(t *testing.T) {
	env := environment{Versions: map[string]string{oursModule: "commit abc", "gorilla.test": "v1"}}
	im := implementation{program: &program{versions: moduleVersions(&debug.BuildInfo{Deps: []*debug.Module{
		{Path: oursModule, Version: "v0.1.0", Replace: &debug.Module{Path: "../"}},
		{Path: "gorilla.test", Version: "v2"},
		{Path: "goyave.test", Version: "v5", Replace: &debug.Module{Path: "../elsewhere"}},
	}})}}
	assert.Equal(t, "commit abc", env.version(&im, oursModule))
	assert.Equal(t, "v2", env.version(&im, "gorilla.test"))
	assert.Equal(t, "v5 (replaced)", env.version(&im, "goyave.test"))
	assert.Equal(t, "unknown", env.version(&im, "nowhere.test"))
	assert.Equal(t, "v1", env.version(&implementation{}, "gorilla.test"))
}

func TestChartIsWellFormed(t *testing.T) {
	r := fixedReport()
	r.Implementations[3].name = `a <b> & "c"`
	chart := r.chart()
	d := xml.NewDecoder(bytes.NewReader(chart))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
	assert.Equal(t, 1, bytes.Count(chart, []byte(`class="title"`)), "text rows are not charted")
	assert.Contains(t, string(chart), "prefers-color-scheme: dark")
	assert.Contains(t, string(chart), `class="ours" x="225" y="42" width="95.0"`, "half of the longest")
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 0.004: "0.00", 9.994: "9.99", 9.996: "10.0", 99.96: "100", 999.4: "999", 1234567: "1,234,567", -1234: "-1,234", -123456: "-123,456",
	} {
		assert.Equal(t, want, number(v))
	}
}

// tiny is the smallest scale at which every workload runs.
var tiny = scale{
	warmup: time.Millisecond, phase: 5 * time.Millisecond,
	idle: 40, members: 20, growth: 100, latency: 100 * time.Millisecond,
}

func TestEveryWorkloadFillsItsColumns(t *testing.T) {
	for _, w := range workloads(tiny) {
		t.Run(w.name, func(t *testing.T) {
			first := slices.IndexFunc(implementations, func(im implementation) bool { return w.has(&im) })
			s, err := measure(t.Context(), &implementations[first], &w, tiny)
			require.NoError(t, err)
			for _, col := range w.columns {
				assert.Contains(t, s, col.key)
			}
			assert.NotZero(t, s[w.columns[0].key])
		})
	}
}

func TestRunWritesTheDocuments(t *testing.T) {
	folder := t.TempDir()
	args := []string{"-quick", "-run", "^echo 64 B$", "-impl", "^goyave-contrib/websocket$|raw|gorilla", "-o", folder}
	require.NoError(t, run(t.Context(), args, io.Discard, io.Discard))
	text, err := os.ReadFile(filepath.Join(folder, "benchmarks.md"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "## Echo of 64 B\n")
	assert.Regexp(t, `\| \*\*goyave-contrib/websocket\*\* \| [\d.]+ \|`, string(text))
	assert.NotContains(t, string(text), "failed:")
	_, err = os.Stat(filepath.Join(folder, chartFile))
	require.NoError(t, err)
}

func TestTooFewDescriptorsSkipAndSayWhy(t *testing.T) {
	s, err := parse([]string{"-run", "^memory$|growth", "-impl", "unknown"}, io.Discard)
	require.NoError(t, err)
	s.descriptors = 1100
	r := newReport(s.rounds)
	require.NoError(t, measureAll(t.Context(), s, r, io.Discard))
	assert.Equal(t, []string{
		"Memory of an idle connection: it needs 10064 descriptors in each process, the limit is 1100",
		"Echo of 1 KiB on 10,000 connections: it needs 10064 descriptors in each process, the limit is 1100",
	}, r.Skipped)
	assert.Len(t, r.Workloads, 2, "100 and 1,000 connections are few enough")
}

func TestArgumentsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-impl", "("}, {"surplus"}, {"-rounds", "many"}} {
		_, err := parse(args, io.Discard)
		assert.Error(t, err, args)
	}
}

func TestWhatFailedHasNoNumber(t *testing.T) {
	r := newReport(2)
	w := echoWorkload(64, opBinary)
	unknown := implementation{name: "unknown"}
	c := r.cell(&w, &unknown)
	c.samples = []sample{{serverCPU: 1}} // of an earlier round without a failure
	r.measure(t.Context(), &unknown, &w, tiny)
	assert.Empty(t, c.samples)
	assert.Contains(t, c.missing, "failed: ")

	w.mode = deflate
	raw, err := implementationNamed(rawName)
	require.NoError(t, err)
	r.measure(t.Context(), &raw, &w, tiny)
	assert.Equal(t, "not to be had: it does not look at the bytes", r.cell(&w, &raw).missing)
}
