package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func first(r *report) string {
	var b strings.Builder
	r.writeFirst(&b)
	return b.String()
}

func TestPageBeginsWithOursBesideOthers(t *testing.T) {
	text := markdown(t, fixedReport())
	assert.Contains(t, text, "|  | this library | gorilla | gws |\n| --- | ---: | ---: | ---: |\n"+
		"| [Echo](#echo), µs | 4.00 (0.50) | 8.00 | **2.70** (0.34) |\n"+
		"| [Echo](#echo), text, µs | 4.00 |  | **3.70** |\n")
	place := func(heading string) int {
		i := strings.Index(text, "\n## "+heading+"\n")
		assert.Positive(t, i, heading)
		return i
	}
	assert.Less(t, place("Beside others"), place("Where this library loses"))
	assert.Less(t, place("Where this library loses"), place("Everything"))
}

func TestFirstTableSaysWhereAndHow(t *testing.T) {
	assert.Contains(t, first(fixedReport()), "Abacus 3000, 2 processors for server and load together; Linux 6.1; go1.26.0; 2026-01-31; "+
		"medians of 3 rounds; this library commit abc, gorilla v1.5.3, gws v1.2.3. `cd bench && go run . -quick` ")
}

func TestFirstTableCountsTheSmallest(t *testing.T) {
	r := fixedReport()
	assert.Contains(t, first(r), "Rows with the smallest number, of 2: this library 0, gorilla 0, gws 2.\n")
	addSlice(r, 1, 1, 1)
	assert.Contains(t, first(r), ": this library 1 (1 of them lending), gorilla 0, gws 1.\n")
}

func TestLendingIsShownWhereItMatters(t *testing.T) {
	for _, test := range []struct {
		name            string
		slice, messages []float64
		want            string
	}{
		{"smaller in every round", []float64{2.8, 2.9, 2.9}, nil, "**2.70** (0.34) | 2.90 (0.36) `ReadSlice` |\n"},
		{"the smallest", []float64{2, 2.1, 2.2}, nil, "2.70 (0.34) | **2.10** (0.26) `ReadSlice` |\n"},
		{"not in every round", []float64{1, 1, 3}, nil, "**2.70** (0.34) |  |\n"},
		{"both, but the second is hardly smaller", []float64{2, 2, 2}, []float64{1.95, 1.95, 1.95}, "**2.00** (0.25) `ReadSlice` |\n"},
		{"both, and the second is smaller", []float64{2, 2, 2}, []float64{1, 1, 1}, "**1.00** (0.12) `OnMessage` |\n"},
		{"the second", []float64{4, 4, 4}, []float64{1, 1, 1}, "**1.00** (0.12) `OnMessage` |\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := fixedReport()
			addSlice(r, test.slice...)
			if test.messages != nil {
				r.Implementations = append(r.Implementations, implementation{name: messagesName, ours: true})
				add(r, 0, messagesName, test.messages...)
			}
			assert.Contains(t, first(r), "| [Echo](#echo), µs | 4.00 (0.50) | 8.00 | ")
			assert.Contains(t, first(r), test.want)
		})
	}
	t.Run("in every round, but by little", func(t *testing.T) {
		r := fixedReport()
		r.cellOf(&r.Workloads[0], oursName).samples = nil
		add(r, 0, oursName, 3, 3, 3)
		addSlice(r, 2.9, 2.9, 2.9)
		assert.Contains(t, first(r), "| 3.00 (0.38) | 8.00 | **2.70** (0.34) |  |\n")
	})
}

func TestFirstTableNeedsResultsOfOurs(t *testing.T) {
	r := fixedReport()
	r.cells = make(map[cellKey]*cell)
	assert.Empty(t, first(r))
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	assert.Equal(t, "#broadcast-of-512-b-to-2000-connections-1-in-flight", anchor("Broadcast of 512 B to 2,000 connections, 1 in flight"))
}
