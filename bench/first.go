package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A firstColumn is a column of the first table: an implementation, and how the table calls it.
type firstColumn struct{ name, title string }

// beside has the columns of the first table, without the column for lent messages.
var beside = []firstColumn{
	{oursName, "this library"},
	{gorillaName, "gorilla"},
	{coderName, "coder"},
	{gwsName, "gws"},
	{nbioName, "nbio"},
}

// lending has the ways to read with this library that lend messages. The first table has one column
// for all of them, in which each number names its way.
var lending = []firstColumn{
	{sliceName, "`ReadSlice`"},
	{messagesName, "`OnMessage`"},
}

// ofFirst reports whether the first table has results of the implementation.
func (im *implementation) ofFirst() bool {
	return slices.ContainsFunc(slices.Concat(beside, lending), func(c firstColumn) bool { return c.name == im.name })
}

// A row is one number of a workload: of the first table, or of a loss.
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

// measured returns the columns whose implementations were measured.
func (r *report) measured(columns []firstColumn) []firstColumn {
	var all []firstColumn
	for _, c := range columns {
		if r.implementation(c.name) != nil {
			all = append(all, c)
		}
	}
	return all
}

// lent returns the way to lend messages that a row of the first table shows: the first one whose
// number is clearly smaller than that of ReadMessage, unless a later one is clearly smaller again.
// ok is false if no way is clearly smaller.
func (r *report) lent(w row) (way firstColumn, ok bool) {
	least := r.cellOf(w.workload, oursName)
	for _, c := range lending {
		if of := r.cellOf(w.workload, c.name); clearlyBelow(of, least, w.column.key) {
			way, ok, least = c, true, of
		}
	}
	return way, ok
}

// clearlyBelow reports whether a is smaller than b in every round, and by more than a small loss.
func clearlyBelow(a, b *cell, key string) bool {
	return below(a, b, key) && a.median(key)*smallLoss < b.median(key)
}

// below reports whether the largest value of a is smaller than the smallest of b.
func below(a, b *cell, key string) bool {
	_, high := spread(a.values(key))
	low, _ := spread(b.values(key))
	return high < low // false for NaN
}

// best returns the name of the implementation with the smallest number that a row shows.
func (r *report) best(w row) string {
	columns := slices.Clone(beside)
	if way, ok := r.lent(w); ok {
		columns = append(columns, way)
	}
	name, smallest := "", math.Inf(1)
	for _, c := range columns {
		if v := r.medianOf(w.workload, c.name, w.column.key); v < smallest {
			name, smallest = c.name, v
		}
	}
	return name
}

// writeFirst writes the first table: this library beside the peers that most people choose from.
func (r *report) writeFirst(b *strings.Builder) {
	rows, columns, ways := r.firstRows(), r.measured(beside), r.measured(lending)
	if len(rows) == 0 {
		return
	}
	b.WriteString("## Beside others\n\n")
	r.writeWins(b, rows, columns)
	b.WriteString("|  |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	align := strings.Repeat(" ---: |", len(columns))
	if len(ways) > 0 {
		b.WriteString(" this library, lending |")
		align += " --- |"
	}
	b.WriteString("\n| --- |" + align + "\n")
	for _, w := range rows {
		fmt.Fprintf(b, "| %s |", w.linkedTitle())
		best := r.best(w)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", r.firstCell(w, c.name, c.name == best))
		}
		if way, ok := r.lent(w); ok {
			fmt.Fprintf(b, " %s %s |", r.firstCell(w, way.name, way.name == best), way.title)
		} else if len(ways) > 0 {
			b.WriteString("  |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\nA number in µs is processor time of the server for one message, connection or delivery; a latency is the time that " +
		"a client waits. In parentheses: the ratio to gorilla. Bold: the smallest of the row. This library reads " +
		"with `ReadMessage`, whose messages are the caller's to keep. In the last column, this library lends messages, as gws and " +
		"nbio do: until the next read (`ReadSlice`), or until the handler of a message controller returns (`OnMessage`). The " +
		"column has a number only where lending was cheaper in every round, and by more than 5 %.\n\n")
	r.writeWhere(b, columns)
}

func (r *report) firstCell(w row, name string, best bool) string {
	v := r.medianOf(w.workload, name, w.column.key)
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

// writeWins says in how many rows each implementation has the smallest number.
func (r *report) writeWins(b *strings.Builder, rows []row, columns []firstColumn) {
	wins := make(map[string]int)
	for _, w := range rows {
		wins[r.best(w)]++
	}
	lent := 0
	for _, way := range lending {
		lent += wins[way.name]
	}
	var texts []string
	for _, c := range columns {
		text := fmt.Sprintf("%s %d", c.title, wins[c.name])
		if c.name == oursName && lent > 0 {
			text = fmt.Sprintf("%s %d (%d of them lending)", c.title, wins[c.name]+lent, lent)
		}
		texts = append(texts, text)
	}
	fmt.Fprintf(b, "Rows with the smallest number, of %d: %s.\n\n", len(rows), strings.Join(texts, ", "))
}

// writeWhere says in one line where the first table was measured, what with, and how to repeat it.
func (r *report) writeWhere(b *strings.Builder, columns []firstColumn) {
	var versions []string
	for _, c := range columns {
		if v := r.Versions[c.name]; len(v) > 0 {
			versions = append(versions, c.title+" "+v[0])
		}
	}
	env := r.Environment
	fmt.Fprintf(b, "%s, %d processors for server and load together; %s; %s; %s; medians of %s; %s. `cd bench && go run . "+
		"-quick` makes this table again, in two minutes, and compares its ratios with these.\n\n",
		env.CPU, env.CPUs, env.Kernel, env.Go, env.Date, counted(r.Rounds, "round"), strings.Join(versions, ", "))
}
