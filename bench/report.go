package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const chartFile = "benchmarks.svg"

// A report has the results of a run and writes them.
type report struct {
	Environment     environment
	Rounds          int
	Implementations []implementation
	Workloads       []workload
	Skipped         []string // programs that could not be built, with the reason
	cells           map[cellKey]*cell
}

type cellKey struct{ workload, implementation string }

// A cell has the results of one implementation in one workload, of all rounds.
type cell struct {
	samples []sample
	missing string // why there are no samples
}

func newReport(rounds int) *report { return &report{Rounds: rounds, cells: make(map[cellKey]*cell)} }

func (r *report) cell(w *workload, im *implementation) *cell {
	key := cellKey{w.name, im.name}
	if r.cells[key] == nil {
		r.cells[key] = &cell{}
	}
	return r.cells[key]
}

// measure adds one sample. After a failure, the cell is not measured again: it has no result,
// and its row in the report gives the reason.
func (r *report) measure(ctx context.Context, im *implementation, w *workload, s scale) {
	c := r.cell(w, im)
	if c.missing != "" {
		return
	}
	if why := im.lacks[w.mode]; why != "" {
		c.missing = "not to be had: " + why
		return
	}
	result, err := measure(ctx, im, w, s)
	if err != nil {
		c.missing, c.samples = "failed: "+err.Error(), nil
		return
	}
	c.samples = append(c.samples, result)
}

func (c *cell) values(key string) []float64 {
	var values []float64
	for _, s := range c.samples {
		values = append(values, s[key])
	}
	return values
}

func (c *cell) median(key string) float64 { return median(c.values(key)) }

// writeFiles writes benchmarks.md and its chart into a folder.
func (r *report) writeFiles(folder string) error {
	var b bytes.Buffer
	if err := r.writeMarkdown(&b); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, chartFile), r.chart(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "benchmarks.md"), b.Bytes(), 0o644)
}

func (r *report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nThis page is written by the program in [bench/](../bench/README.md), which tells how it " +
		"measures and what that cannot show. Less is better, except in the columns \"per second\".\n\n")
	r.writeLosses(&b)
	r.writeMissing(&b)
	fmt.Fprintf(&b, "![Medians of each implementation as bars](%s)\n\n", chartFile)
	for i := range r.Workloads {
		if i == 0 || r.Workloads[i].table != r.Workloads[i-1].table {
			r.writeTable(&b, i)
		}
	}
	r.writeEnvironment(&b)
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// A loss is a comparison in which a peer has a smaller median than this library.
type loss struct {
	workload *workload
	column   column
	ours     *implementation
	best     *implementation // the peer with the smallest median
	oursIs   float64
	bestIs   float64
	ahead    int  // how many peers have a smaller median
	clear    bool // the ranges of our rounds and of the best peer's do not overlap
}

// losses returns the losses, and the number of all comparisons.
func (r *report) losses() (lost []loss, compared int) {
	for wi := range r.Workloads {
		w := &r.Workloads[wi]
		for _, col := range w.columns {
			if !col.compared {
				continue
			}
			for oi := range r.Implementations {
				ours := &r.Implementations[oi]
				if !ours.ours || len(r.cell(w, ours).samples) == 0 {
					continue
				}
				compared++
				if l, ok := r.loss(w, col, ours); ok {
					lost = append(lost, l)
				}
			}
		}
	}
	slices.SortStableFunc(lost, func(a, b loss) int {
		switch d := b.oursIs/b.bestIs - a.oursIs/a.bestIs; {
		case d < 0:
			return -1
		case d > 0:
			return 1
		default:
			return 0
		}
	})
	return lost, compared
}

func (r *report) loss(w *workload, col column, ours *implementation) (loss, bool) {
	own := r.cell(w, ours)
	l := loss{workload: w, column: col, ours: ours, oursIs: own.median(col.key), bestIs: math.Inf(1)}
	for i := range r.Implementations {
		peer := &r.Implementations[i]
		c := r.cell(w, peer)
		if peer.ours || peer.raw || len(c.samples) == 0 {
			continue
		}
		m := c.median(col.key)
		if m >= l.oursIs {
			continue
		}
		l.ahead++
		if m < l.bestIs {
			_, high := spread(c.values(col.key))
			low, _ := spread(own.values(col.key))
			l.best, l.bestIs, l.clear = peer, m, high < low
		}
	}
	return l, l.best != nil
}

func (r *report) writeLosses(b *strings.Builder) {
	lost, compared := r.losses()
	b.WriteString("## Where this library loses\n\n")
	if len(lost) == 0 {
		fmt.Fprintf(b, "In none of %d comparisons does a peer have a smaller median.\n\n", compared)
		return
	}
	fmt.Fprintf(b, "In %d of %d comparisons a peer has a smaller median. \"In every round\" means that its largest value is "+
		"smaller than our smallest. Raw TCP is no peer.\n\n", len(lost), compared)
	b.WriteString("| workload | what | ours | best peer | its value | ours ÷ best | peers ahead | in every round |\n" +
		"| --- | --- | ---: | --- | ---: | ---: | ---: | --- |\n")
	for _, l := range lost {
		clearly := "no"
		if l.clear {
			clearly = "yes"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %d | %s |\n", l.workload.title(), r.oursTitle(l), number(l.oursIs),
			l.best.name, number(l.bestIs), ratio(l.oursIs, l.bestIs), l.ahead, clearly)
	}
	b.WriteString("\n")
}

// oursTitle returns the title of our column. If several of our ways to read were measured, it
// says which one is shown.
func (r *report) oursTitle(l loss) string {
	ways := 0
	for _, im := range r.Implementations {
		if im.ours {
			ways++
		}
	}
	if ways > 1 {
		return l.column.title + " (" + l.ours.name + ")"
	}
	return l.column.title
}

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
	b.WriteString("## What is missing\n\n")
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
	fmt.Fprintf(b, "## %s\n\n%s\n\n", w.table, w.about)
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

func fromTo(values []float64) string {
	if len(values) == 0 {
		return number(math.NaN())
	}
	low, high := spread(values)
	return number(low) + "–" + number(high)
}

// medianOf returns NaN if there is no result.
func (r *report) medianOf(w *workload, name, key string) float64 {
	return r.cell(w, &implementation{name: name}).median(key)
}

func (r *report) writeEnvironment(b *strings.Builder) {
	env := r.Environment
	fmt.Fprintf(b, "## How\n\n`%s` in `bench/`, %s, medians of %d rounds with their smallest and largest values. %s, %d "+
		"of its processors for server and load together, %s, %s. Other programs took %.0f %% of the processors' time "+
		"meanwhile: the more, the less the latencies mean.\n\n", env.Command, env.Date, r.Rounds, env.CPU, env.CPUs,
		env.Kernel, env.Go, env.Others*100)
	fmt.Fprintf(b, "All check that text is UTF-8, have buffers of %s where they have such a setting, and take messages up "+
		"to %s.\n\n", bytesName(bufferSize), bytesName(maxMessageSize))
	b.WriteString("| implementation | version | configuration |\n| --- | --- | --- |\n")
	for i := range r.Implementations {
		im := &r.Implementations[i]
		versions := []string{env.version(im, im.module)}
		for _, module := range im.below {
			versions = append(versions, module+" "+env.version(im, module))
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", im.name, strings.Join(versions, "; "), im.config)
	}
}

// number formats x with three significant digits, or as a dash if it is NaN.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 1000:
		return thousands(int(math.Round(v)))
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func ratio(v, base float64) string {
	if base == 0 {
		return "–"
	}
	return number(v / base)
}

func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func bytesName(n int) string {
	switch {
	case n >= 1<<20:
		return strconv.Itoa(n>>20) + " MiB"
	case n >= 1<<10:
		return strconv.Itoa(n>>10) + " KiB"
	default:
		return strconv.Itoa(n) + " B"
	}
}
