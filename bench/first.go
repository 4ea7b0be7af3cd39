package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// beside are the peers of the first table, in its order, and their titles.
var beside = []struct{ name, title string }{
	{gorillaName, "gorilla"},
	{coderName, "coder"},
	{gwsName, "gws"},
	{nbioName, "nbio"},
}

// ofFirst reports whether the first table has a column for the implementation.
func (im *implementation) ofFirst() bool {
	if im.name == oursName || im.name == sliceName {
		return true
	}
	for _, peer := range beside {
		if im.name == peer.name {
			return true
		}
	}
	return false
}

// A row of the first table is one number of a workload.
type row struct {
	workload *workload
	column   column
}

func (w row) title() string { return w.workload.title() + ", " + w.column.label }

// linkedTitle has a link to the workload's own table.
func (w row) linkedTitle() string {
	title := w.workload.table
	rest := strings.TrimPrefix(w.title(), title)
	return "[" + title + "](" + anchor(title) + ")" + rest
}

// firstRows returns the rows of the first table for which this library has a result.
func (r *report) firstRows() []row {
	var rows []row
	for i := range r.Workloads {
		w := &r.Workloads[i]
		if !w.first {
			continue
		}
		for _, col := range w.columns {
			if col.label != "" && len(r.cellOf(w, oursName).values(col.key)) > 0 {
				rows = append(rows, row{w, col})
			}
		}
	}
	return rows
}

// A firstColumn is an implementation in the first table.
type firstColumn struct{ name, title string }

const (
	oursTitle  = "this library"
	sliceTitle = "this library, `ReadSlice`"
)

// firstColumns returns the columns of the first table that were measured.
func (r *report) firstColumns() []firstColumn {
	all := []firstColumn{{oursName, oursTitle}}
	for _, peer := range beside {
		all = append(all, firstColumn(peer))
	}
	all = append(all, firstColumn{sliceName, sliceTitle})
	return slices.DeleteFunc(all, func(c firstColumn) bool { return r.implementation(c.name) == nil })
}

// shown returns the median for a cell of the first table, or NaN if it has none. ReadSlice is
// shown where it was smaller than ReadMessage in every round, and by more than a small loss.
func (r *report) shown(w row, name string) float64 {
	c, key := r.cellOf(w.workload, name), w.column.key
	m := c.median(key)
	if name != sliceName {
		return m
	}
	own := r.cellOf(w.workload, oursName)
	if below(c, own, key) && m*smallLoss < own.median(key) {
		return m
	}
	return math.NaN()
}

// below reports whether the largest value of a is smaller than the smallest of b.
func below(a, b *cell, key string) bool {
	_, high := spread(a.values(key))
	low, _ := spread(b.values(key))
	return high < low // false for NaN
}

// best returns the name of the implementation with the smallest number that a row shows.
func (r *report) best(w row, columns []firstColumn) string {
	name, smallest := "", math.Inf(1)
	for _, c := range columns {
		if v := r.shown(w, c.name); v < smallest {
			name, smallest = c.name, v
		}
	}
	return name
}

// writeFirst writes the first table: this library beside the peers that most people choose from.
func (r *report) writeFirst(b *strings.Builder) {
	rows, columns := r.firstRows(), r.firstColumns()
	if len(rows) == 0 {
		return
	}
	b.WriteString("## Beside others\n\n")
	r.writeWins(b, rows, columns)
	b.WriteString("|  |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(columns)) + "\n")
	for _, w := range rows {
		fmt.Fprintf(b, "| %s |", w.linkedTitle())
		best := r.best(w, columns)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", r.firstCell(w, c.name, c.name == best))
		}
		b.WriteString("\n")
	}
	b.WriteString("\nµs are processor time of the server for one message, connection or delivery, but for latencies, " +
		"which are a client's. In parentheses: the ratio to gorilla. Bold: the smallest of the row. This library reads " +
		"with `ReadMessage`, whose messages are the caller's to keep; with `ReadSlice` they are lent until the next read, " +
		"as those of gws and nbio are until the handler returns. That column has a number where it was smaller in every " +
		"round and by more than 5 %.\n\n")
	r.writeWhere(b, columns)
}

func (r *report) firstCell(w row, name string, best bool) string {
	v := r.shown(w, name)
	if math.IsNaN(v) {
		return ""
	}
	text := number(v)
	if best {
		text = "**" + text + "**"
	}
	if base := r.medianOf(w.workload, gorillaName, w.column.key); name != gorillaName && !math.IsNaN(base) {
		text += " (" + ratio(v, base) + ")"
	}
	return text
}

// writeWins says how many rows each implementation has the smallest number of.
func (r *report) writeWins(b *strings.Builder, rows []row, columns []firstColumn) {
	wins := make(map[string]int)
	for _, w := range rows {
		wins[r.best(w, columns)]++
	}
	var texts []string
	for _, c := range columns {
		switch c.name {
		case sliceName:
		case oursName:
			text := fmt.Sprintf("%s %d", c.title, wins[oursName]+wins[sliceName])
			if wins[sliceName] > 0 {
				text += fmt.Sprintf(" (%d of them with `ReadSlice`)", wins[sliceName])
			}
			texts = append(texts, text)
		default:
			texts = append(texts, fmt.Sprintf("%s %d", c.title, wins[c.name]))
		}
	}
	fmt.Fprintf(b, "How many of the %d rows each has the smallest number of: %s.\n\n", len(rows), strings.Join(texts, ", "))
}

// writeWhere says in one line where the first table was measured, what with, and how to repeat it.
func (r *report) writeWhere(b *strings.Builder, columns []firstColumn) {
	var versions []string
	for _, c := range columns {
		if v := r.Versions[c.name]; c.name != sliceName && len(v) > 0 {
			versions = append(versions, c.title+" "+v[0])
		}
	}
	env := r.Environment
	fmt.Fprintf(b, "%s, %d processors for server and load together; %s; %s; %s; medians of %s; %s. `cd bench && go run . "+
		"-quick` makes this table again, in two minutes, and compares its ratios with these.\n\n",
		env.CPU, env.CPUs, env.Kernel, env.Go, env.Date, counted(r.Rounds, "round"), strings.Join(versions, ", "))
}
