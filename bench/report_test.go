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

// fixedReport has two workloads in one table: in the binary one gws is clearly cheaper than ours,
// in the text one only sometimes.
func fixedReport() *report {
	r := newReport(3, fullScale)
	r.Environment = environment{
		Command: "go run . -o ../docs", Date: "2026-01-31", CPU: "Abacus 3000", CPUs: 2, Kernel: "Linux 6.1", Go: "go1.26.0", Others: 0.123,
	}
	r.Versions = map[string][]string{
		oursName: {"commit abc"}, rawName: {"–"}, gorillaName: {"v1.5.3"}, gwsName: {"v1.2.3", "below.test v4"},
	}
	r.Implementations = []implementation{
		{name: oursName, ours: true, config: "defaults"},
		{name: rawName, raw: true},
		{name: gorillaName},
		{name: gwsName},
	}
	for _, variant := range []string{"", "text"} {
		r.Workloads = append(r.Workloads, workload{
			name: strings.TrimSpace("echo " + variant), table: "Echo", variant: variant, about: "There and back.", unit: messageUnit,
			columns: costColumns(messageUnit), first: true, charted: variant == "",
		})
	}
	add(r, 0, oursName, 3, 4, 5)
	add(r, 0, rawName, 1, 2, 2)
	add(r, 0, gorillaName, 8, 9, 7)
	add(r, 0, gwsName, 2.5, 2.9, 2.7)
	add(r, 1, oursName, 3, 4, 5)
	add(r, 1, rawName, 1, 2, 2)
	add(r, 1, gwsName, 3.5, 3.9, 3.7)
	r.cellOf(&r.Workloads[1], gorillaName).missing = "failed: a | b\nc"
	r.Skipped = []string{"Growth: too many"}
	return r
}

// add adds samples to an implementation in a workload.
func add(r *report, workload int, name string, cpu ...float64) {
	c := r.cellOf(&r.Workloads[workload], name)
	for _, v := range cpu {
		c.samples = append(c.samples, sample{serverCPU: v, loadCPU: 1, rate: 12345.6})
	}
}

// addSlice adds ReadSlice to the binary workload.
func addSlice(r *report, cpu ...float64) {
	r.Implementations = append(r.Implementations, implementation{name: sliceName, ours: true})
	add(r, 0, sliceName, cpu...)
}

func markdown(t *testing.T, r *report) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, r.writeMarkdown(&b))
	return b.String()
}

func TestRowsHaveMedianSpreadAndRatios(t *testing.T) {
	text := markdown(t, fixedReport())
	for _, row := range []string{
		"| **goyave-contrib/websocket** | 4.00 | 3.00–5.00 | 2.00 | 0.50 | 1.00 | 12,346 |",
		"| **goyave-contrib/websocket**, text | 4.00 | 3.00–5.00 | 2.00 | – | 1.00 | 12,346 |",
		"| raw TCP | 2.00 | 1.00–2.00 | 1.00 | 0.25 | 1.00 | 12,346 |",
		"| gorilla/websocket, text | missing, see above | – | – | – | – | – |",
	} {
		assert.Contains(t, text, row+"\n")
	}
	assert.Equal(t, 1, strings.Count(text, "\n### Echo\n"), "both variants are in one table")
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
		"| goyave-contrib/websocket | commit abc | defaults |", "| lxzan/gws | v1.2.3; below.test v4 |", "| raw TCP | – |",
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

func wellFormed(t *testing.T, image []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(image))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestChartIsWellFormed(t *testing.T) {
	r := fixedReport()
	r.Implementations = append(r.Implementations, implementation{name: `a <b> & "c"`})
	chart := r.chart()
	wellFormed(t, chart)
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
	minute: 100 * time.Millisecond, away: 10 * time.Millisecond, most: 40,
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
	assert.Contains(t, string(text), "\n### Echo of 64 B\n")
	assert.Regexp(t, `\| \*\*goyave-contrib/websocket\*\* \| [\d.]+ \|`, string(text))
	assert.NotContains(t, string(text), "failed:")

	again := t.TempDir()
	require.NoError(t, run(t.Context(), []string{"-from", filepath.Join(folder, dataFile), "-o", again}, io.Discard, io.Discard))
	for _, name := range []string{pageFile, dataFile, chartFile, "readme-light.svg", "readme-dark.svg"} {
		first, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		second, err := os.ReadFile(filepath.Join(again, name))
		require.NoError(t, err)
		assert.Equal(t, string(first), string(second), name)
	}
}

func TestTooFewDescriptorsSkipAndSayWhy(t *testing.T) {
	s, err := parse([]string{"-run", "^memory$|growth", "-impl", "unknown"}, io.Discard)
	require.NoError(t, err)
	s.descriptors = 1100
	r := newReport(s.rounds, s.scale())
	require.NoError(t, measureAll(t.Context(), s, r, io.Discard))
	assert.Equal(t, []string{
		"Memory of an idle connection: it needs 10064 descriptors in each process, the limit is 1100",
		"Echo of 1 KiB on 10,000 connections: it needs 10064 descriptors in each process, the limit is 1100",
	}, r.Skipped)
	assert.Len(t, r.Workloads, 2, "100 and 1,000 connections are few enough")
}

func TestWhatTakesLongIsMeasuredOnlyIfItIsNamed(t *testing.T) {
	measured := func(args ...string) (names []string) {
		s, err := parse(args, io.Discard)
		require.NoError(t, err)
		for _, w := range workloads(s.scale()) {
			if s.measures(&w) && w.named {
				names = append(names, w.name)
			}
		}
		return names
	}
	assert.Empty(t, measured())
	assert.Empty(t, measured("-quick"))
	assert.Empty(t, measured("-impl", "."))
	assert.Empty(t, measured("-run", "^memory$"))
	assert.Equal(t, []string{"idle 18k", "wake"}, measured("-run", "idle 18k|wake"))
	assert.Equal(t, []string{"idle 1k", "idle 6k", "idle 18k", "wake"}, measured("-run", "."))
}

func TestArgumentsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-impl", "("}, {"surplus"}, {"-rounds", "many"}, {"-from", "x", "-quick"}, {"-from", "x", "-run", "y"}} {
		_, err := parse(args, io.Discard)
		assert.Error(t, err, args)
	}
}

func TestWhatFailedHasNoNumber(t *testing.T) {
	r := newReport(2, tiny)
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
