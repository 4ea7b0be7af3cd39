package main

import (
	"fmt"
	"math"
	"strings"
	"unicode"
)

func (w *workload) title() string {
	if w.variant == "" {
		return w.table
	}
	return w.table + ", " + w.variant
}

// writeMissing lists the cells without a result.
func (r *report) writeMissing(b *strings.Builder) {
	var lines []string
	for _, skipped := range r.Skipped {
		lines = append(lines, "skipped: "+skipped)
	}
	for wi := range r.Workloads {
		for ii := range r.Implementations {
			w, im := &r.Workloads[wi], &r.Implementations[ii]
			if why := r.cell(w, im).missing; why != "" {
				lines = append(lines, fmt.Sprintf("%s, %s: %s", im.name, w.title(), why))
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	b.WriteString("### What is missing\n\n")
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", oneLine(line))
	}
	b.WriteString("\n")
}

func oneLine(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

// writeTable writes the table whose first workload is first, with a row for each implementation
// and variant.
func (r *report) writeTable(b *strings.Builder, first int) {
	w := &r.Workloads[first]
	fmt.Fprintf(b, "### %s\n\n%s\n\n", w.table, w.about)
	b.WriteString("| implementation |")
	var align strings.Builder
	align.WriteString("\n| --- |")
	for i, col := range w.columns {
		fmt.Fprintf(b, " %s |", col.title)
		count := 1
		if i == 0 || col.compared {
			b.WriteString(" smallest–largest | ÷ raw TCP | ÷ gorilla |")
			count += 3
		}
		align.WriteString(strings.Repeat(" ---: |", count))
	}
	b.WriteString(align.String() + "\n")
	for ii := range r.Implementations {
		for wi := first; wi < len(r.Workloads) && r.Workloads[wi].table == w.table; wi++ {
			if w, im := &r.Workloads[wi], &r.Implementations[ii]; w.has(im) {
				r.writeRow(b, w, im)
			}
		}
	}
	b.WriteString("\n")
}

func (r *report) writeRow(b *strings.Builder, w *workload, im *implementation) {
	name := im.name
	if im.ours {
		name = "**" + name + "**"
	}
	if w.variant != "" {
		name += ", " + w.variant
	}
	fmt.Fprintf(b, "| %s |", name)
	c := r.cell(w, im)
	for i, col := range w.columns {
		values := c.values(col.key)
		m := median(values)
		value := number(m)
		if i == 0 && c.missing != "" {
			value = "missing, see above"
		}
		fmt.Fprintf(b, " %s |", value)
		if i == 0 || col.compared {
			fmt.Fprintf(b, " %s | %s | %s |", fromTo(values), ratio(m, r.medianOf(w, rawName, col.key)),
				ratio(m, r.medianOf(w, gorillaName, col.key)))
		}
	}
	b.WriteString("\n")
}

// anchor returns the fragment by which a link leads to a heading, as GitHub makes it.
func anchor(heading string) string {
	return "#" + strings.Map(func(c rune) rune {
		switch {
		case c == ' ':
			return '-'
		case c == '-' || c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c):
			return unicode.ToLower(c)
		default:
			return -1
		}
	}, heading)
}

func fromTo(values []float64) string {
	if len(values) == 0 {
		return number(math.NaN())
	}
	low, high := spread(values)
	return number(low) + "–" + number(high)
}

func (r *report) writeEnvironment(b *strings.Builder) {
	env := r.Environment
	fmt.Fprintf(b, "### How\n\n`%s` in `bench/`, %s, medians of %s with their smallest and largest values. %s, %d "+
		"of its processors for server and load together, %s, %s. Other programs took %.0f %% of the processors' time "+
		"meanwhile: the more, the less the latencies mean.\n\n", env.Command, env.Date, counted(r.Rounds, "round"), env.CPU, env.CPUs,
		env.Kernel, env.Go, env.Others*100)
	fmt.Fprintf(b, "All check that text is UTF-8, have buffers of %s where they have such a setting, and take messages up "+
		"to %s.\n\n", bytesName(bufferSize), bytesName(maxMessageSize))
	b.WriteString("| implementation | version | configuration |\n| --- | --- | --- |\n")
	for i := range r.Implementations {
		im := &r.Implementations[i]
		fmt.Fprintf(b, "| %s | %s | %s |\n", im.name, strings.Join(r.Versions[im.name], "; "), im.config)
	}
}
