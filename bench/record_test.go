package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	docs       = "../docs"
	writeAgain = "`go run . -from ../docs/benchmarks.json -o ../docs` writes it again, without measuring"
)

func pageReport(t *testing.T) *report {
	t.Helper()
	r, err := readReportFile(pageData)
	require.NoError(t, err)
	return r
}

// The program makes the page and its charts, byte for byte, from the page's data.
func TestPageIsThatOfItsData(t *testing.T) {
	files, err := pageReport(t).files()
	require.NoError(t, err)
	for name, want := range files {
		content, err := os.ReadFile(filepath.Join(docs, name))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, content), "docs/%s is not up to date: %s", name, writeAgain)
	}
}

func TestEachLossOnThePageHasAReason(t *testing.T) {
	lost, _ := pageReport(t).losses()
	for _, l := range lost {
		if l.counts() {
			assert.NotSame(t, &noReason, l.reason(), "%s, %s: say in reasons.go why %s is ahead", l.workload.name, l.column.key, l.best.name)
		}
	}
}

// The first table has a number for this library and all peers in every row, unless a peer does not
// have what is measured, and the chart of the README has all its panels.
func TestPageIsOfAFullRun(t *testing.T) {
	r := pageReport(t)
	for _, w := range r.firstRows() {
		for _, c := range beside {
			im := r.implementation(c.name)
			require.NotNil(t, im, c.name)
			if w.workload.has(im) {
				assert.NotEmpty(t, r.cell(w.workload, im).samples, "%s of %s", w.title(), c.name)
			}
		}
	}
	assert.NotEmpty(t, r.measured(lending))
	for _, p := range readmePanels {
		assert.NotEmpty(t, r.readmeBarsOf(p.workload, p.key), p.title)
	}
}

func TestReadmeShowsItsChart(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, theme := range themes {
		assert.Contains(t, string(readme), `="docs/`+theme.file+`"`)
	}
}

func read(data string) (*report, error) { return readReport(strings.NewReader(data)) }

func TestDataOfAnotherProgramAreRefused(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, pageReport(t).writeData(&b))
	data := b.String()
	_, err := read(data)
	require.NoError(t, err)
	for _, test := range []struct{ name, old, replacement, want string }{
		{"an unknown implementation", `"name": "lxzan/gws"`, `"name": "other"`, `it has results of "other"`},
		{"a cell of an implementation that is not listed", `"implementation":"lxzan/gws"`, `"implementation":"other"`, `it has results of "other"`},
		{"an unknown workload", `"workload":"bursts"`, `"workload":"other"`, `it has results of the workload "other"`},
		{"a column that is not there", `"server":`, `"other":`, `it has no column "other"`},
		{"too few rounds", `"rounds": 3`, `"rounds": 4`, `3 values of "load" in 4 rounds`},
		{"an unknown field", `"rounds": 3`, `"rounds": 3, "squares": 4`, "squares"},
		{"no JSON", `{`, `[`, "invalid character"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, data, test.old)
			_, err := read(strings.ReplaceAll(data, test.old, test.replacement))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestMissingCellsStayMissing(t *testing.T) {
	r := pageReport(t)
	w := r.workload("bursts")
	*r.cellOf(w, gwsName) = cell{missing: "failed: it was late"}
	var b bytes.Buffer
	require.NoError(t, r.writeData(&b))
	again, err := readReport(&b)
	require.NoError(t, err)
	assert.Equal(t, &cell{missing: "failed: it was late"}, again.cellOf(w, gwsName))
}

// The page can be written again when the program has a new column.
func TestColumnsThatWereNotMeasuredHaveNoNumber(t *testing.T) {
	r := fixedReport()
	for i := range r.Workloads {
		r.Workloads[i].columns = append(r.Workloads[i].columns, column{key: "new", title: "new column", compared: true, label: "new"})
	}
	text := markdown(t, r)
	assert.Contains(t, text, "| **goyave-contrib/websocket** | 4.00 | 3.00–5.00 | 2.00 | 0.50 | 1.00 | 12,346 | – | – | – | – |\n")
	assert.NotContains(t, text, ", new |", "no row of the first table")
	assert.Contains(t, text, "In 2 of 2 comparisons")
}

func TestDataThatAreNotThereAreAnError(t *testing.T) {
	err := run(t.Context(), []string{"-from", "testdata/none.json"}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "bench: open testdata/none.json: ")
}
