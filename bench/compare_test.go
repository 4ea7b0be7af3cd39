package main

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compared returns the comparison of a report with an earlier one.
func compared(r, earlier *report) (text string, agreed, of int) {
	var b strings.Builder
	agreed, of = r.compare(&b, earlier)
	return b.String(), agreed, of
}

// scaled multiplies all times of the server in a report.
func scaled(r *report, factor float64, names ...string) *report {
	for key, c := range r.cells {
		for _, s := range c.samples {
			for _, name := range names {
				if key.implementation == name {
					s[serverCPU] *= factor
				}
			}
		}
	}
	return r
}

func TestRunAgreesWithItself(t *testing.T) {
	text, agreed, of := compared(fixedReport(), fixedReport())
	assert.Equal(t, 2, of, "the text row has no gorilla")
	assert.Equal(t, 2, agreed)
	assert.Contains(t, text, "Of 2 ratios to gorilla, 2 are within the spread of benchmarks.md")
	assert.Contains(t, text, "|  | this library | gws |\n| --- | --- | --- |\n"+
		"| Echo, µs | 0.44 (0.38–0.71; 0.38–0.71) | 0.32 (0.31–0.39; 0.31–0.39) |\n| Echo, text, µs | – | – |\n")
}

func TestAFasterMachineAgrees(t *testing.T) {
	_, agreed, of := compared(scaled(fixedReport(), 0.1, oursName, gorillaName, gwsName), fixedReport())
	assert.Equal(t, 2, of)
	assert.Equal(t, 2, agreed)
}

func TestAnotherRatioIsNotWithin(t *testing.T) {
	text, agreed, of := compared(scaled(fixedReport(), 3, oursName), fixedReport())
	assert.Equal(t, 2, of)
	assert.Equal(t, 1, agreed)
	assert.Contains(t, text, "| **1.33 (1.12–2.14; 0.38–0.71)** |")
}

func TestSpansThatAreCloseAgree(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b span
		want bool
	}{
		{"one within the other", span{1, 4}, span{2, 3}, true},
		{"they overlap", span{1, 3}, span{2, 4}, true},
		{"they touch", span{1, 2}, span{2, 3}, true},
		{"one is four percent larger", span{1, 1}, span{1.04, 2}, true},
		{"one is six percent larger", span{1, 1}, span{1.06, 2}, false},
		{"far away", span{1, 2}, span{5, 6}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, test.a.agrees(test.b))
			assert.Equal(t, test.want, test.b.agrees(test.a))
		})
	}
}

func TestWhatThePageDoesNotHaveIsNotCompared(t *testing.T) {
	earlier := fixedReport()
	earlier.Workloads = earlier.Workloads[1:]
	text, agreed, of := compared(fixedReport(), earlier)
	assert.Zero(t, of)
	assert.Zero(t, agreed)
	assert.Contains(t, text, "| Echo, µs | 0.44 (0.38–0.71; –) |")
}

func TestQuickComparesWithThePage(t *testing.T) {
	r, err := readReportFile(pageData)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, r.writeQuick(&b, pageData))
	assert.True(t, strings.HasPrefix(b.String(), "## Beside others\n"))
	_, comparison, found := strings.Cut(b.String(), "\n## Compared with the page\n")
	require.True(t, found)
	assert.NotContains(t, comparison, "| **", "it agrees with itself")
	assert.NotContains(t, b.String(), "## Everything")

	b.Reset()
	require.NoError(t, r.writeQuick(&b, filepath.Join(t.TempDir(), "none")))
	assert.Contains(t, b.String(), "\nNot compared: bench: open ")
}

func TestQuickMeasuresTheFirstTable(t *testing.T) {
	selected := func(args ...string) (workloadNames, implementationNames []string) {
		s, err := parse(args, io.Discard)
		require.NoError(t, err)
		for _, im := range s.implementations() {
			implementationNames = append(implementationNames, im.name)
		}
		for _, w := range workloads(s.scale()) {
			if s.measures(&w) {
				workloadNames = append(workloadNames, w.name)
			}
		}
		return workloadNames, implementationNames
	}
	workloadNames, names := selected("-quick")
	assert.ElementsMatch(t, []string{oursName, sliceName, messagesName, gorillaName, coderName, gwsName, nbioName}, names)
	assert.Subset(t, workloadNames, pageRows(t))

	workloadNames, names = selected("-quick", "-run", "^echo 256 KiB text$")
	assert.Equal(t, []string{"echo 256 KiB text"}, workloadNames)
	assert.Contains(t, names, rawName)
}

// pageRows returns the names of the workloads of the page's first table.
func pageRows(t *testing.T) []string {
	t.Helper()
	r, err := readReportFile(pageData)
	require.NoError(t, err)
	var names []string
	for _, w := range r.firstRows() {
		names = append(names, w.workload.name)
	}
	require.NotEmpty(t, names)
	return names
}
