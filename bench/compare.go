package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// slack is how far apart the spans of two runs may be that still agree, as a share. The rounds of one
// run may hardly differ, as with memory, while the machines of the two runs do.
const slack = 0.05

// A span is the range of a ratio to gorilla over the rounds of a run.
type span struct{ low, high float64 }

// ratios returns the ratios of an implementation to gorilla. Numbers of one round are compared with
// each other, because they were measured a few seconds apart.
func (r *report) ratios(w *workload, name, key string) []float64 {
	values, base := r.cellOf(w, name).values(key), r.cellOf(w, gorillaName).values(key)
	if len(values) != len(base) {
		return nil
	}
	ratios := make([]float64, len(values))
	for i, v := range values {
		ratios[i] = v / base[i]
	}
	return ratios
}

func spanOf(ratios []float64) span {
	low, high := spread(ratios)
	return span{low, high}
}

// agrees reports whether two spans overlap or are close to each other.
func (s span) agrees(other span) bool {
	return s.low <= other.high*(1+slack) && other.low <= s.high*(1+slack)
}

// workload returns the workload of a name if it was measured, or else nil.
func (r *report) workload(name string) *workload {
	i := slices.IndexFunc(r.Workloads, func(w workload) bool { return w.name == name })
	if i < 0 {
		return nil
	}
	return &r.Workloads[i]
}

// compare writes the ratios of the first table beside the ratios of an earlier report. It returns how
// many could be compared, and how many of them agree.
func (r *report) compare(b *strings.Builder, earlier *report) (agreed, compared int) {
	rows := r.firstRows()
	columns := slices.DeleteFunc(r.measured(slices.Concat(beside, lending)), func(c firstColumn) bool { return c.name == gorillaName })
	var table strings.Builder
	table.WriteString("|  |")
	for _, c := range columns {
		fmt.Fprintf(&table, " %s |", c.title)
	}
	table.WriteString("\n| --- |" + strings.Repeat(" --- |", len(columns)) + "\n")
	for _, w := range rows {
		fmt.Fprintf(&table, "| %s |", w.title())
		for _, c := range columns {
			text, outcome := r.compareCell(w, c.name, earlier)
			fmt.Fprintf(&table, " %s |", text)
			if outcome != notCompared {
				compared++
			}
			if outcome == agreeing {
				agreed++
			}
		}
		table.WriteString("\n")
	}
	fmt.Fprintf(b, "## Compared with the page\n\nOf %d ratios to gorilla, %d are within the spread of %s: the range of the rounds "+
		"here and the range on the page overlap, or are less than %.0f %% apart. Other programs took %.0f %% of the processors' "+
		"time here, %.0f %% for the page. The page is of %s (%s, %d processors; %s).\n\n", compared, agreed, pageFile, slack*100, r.Environment.Others*100,
		earlier.Environment.Others*100, earlier.Environment.Date, earlier.Environment.CPU, earlier.Environment.CPUs,
		earlier.Environment.Go)
	b.WriteString(table.String() + "\nEach cell: the ratio here (its range here; its range on the page). Bold: not within the spread.\n\n")
	return agreed, compared
}

type outcome int

const (
	notCompared outcome = iota
	agreeing
	differing
)

func (r *report) compareCell(w row, name string, earlier *report) (string, outcome) {
	here := r.ratios(w.workload, name, w.column.key)
	if len(here) == 0 {
		return "–", notCompared
	}
	var there []float64
	if of := earlier.workload(w.workload.name); of != nil {
		there = earlier.ratios(of, name, w.column.key)
	}
	text := fmt.Sprintf("%s (%s; %s)", number(median(here)), fromTo(here), fromTo(there))
	switch {
	case len(there) == 0:
		return text, notCompared
	case spanOf(here).agrees(spanOf(there)):
		return text, agreeing
	default:
		return "**" + text + "**", differing
	}
}

// writeQuick writes the first table, and compares it with the data of the page.
func (r *report) writeQuick(w io.Writer, page string) error {
	var b strings.Builder
	r.writeFirst(&b)
	earlier, err := readReportFile(page)
	if err != nil {
		fmt.Fprintf(&b, "## Compared with the page\n\nNot compared: %v.\n\n", err)
	} else {
		r.compare(&b, earlier)
	}
	r.writeMissing(&b)
	_, err = io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}
