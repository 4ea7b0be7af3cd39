package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Names of the files that a report is written to.
const (
	pageFile  = "benchmarks.md"
	dataFile  = "benchmarks.json" // from which the others can be written again
	chartFile = "benchmarks.svg"
)

// A report has the results of a run and writes them.
type report struct {
	Environment     environment
	Rounds          int
	Scale           scale
	Implementations []implementation
	Workloads       []workload
	Skipped         []string            // what could not be measured, with the reason
	Versions        map[string][]string // of the modules of each implementation, by its name
	cells           map[cellKey]*cell
}

type cellKey struct{ workload, implementation string }

// A cell has the results of one implementation in one workload, of all rounds.
type cell struct {
	samples []sample
	missing string // why there are no samples
}

func newReport(rounds int, s scale) *report {
	return &report{Rounds: rounds, Scale: s, cells: make(map[cellKey]*cell)}
}

func (r *report) cell(w *workload, im *implementation) *cell { return r.cellOf(w, im.name) }

func (r *report) cellOf(w *workload, name string) *cell {
	key := cellKey{w.name, name}
	if r.cells[key] == nil {
		r.cells[key] = &cell{}
	}
	return r.cells[key]
}

// implementation returns the implementation of a name if it was measured, or else nil.
func (r *report) implementation(name string) *implementation {
	for i := range r.Implementations {
		if r.Implementations[i].name == name {
			return &r.Implementations[i]
		}
	}
	return nil
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
	for key, value := range result {
		result[key] = rounded(value)
	}
	c.samples = append(c.samples, result)
}

// values returns nothing if the column was not measured.
func (c *cell) values(key string) []float64 {
	var values []float64
	for _, s := range c.samples {
		if v, ok := s[key]; ok {
			values = append(values, v)
		}
	}
	return values
}

func (c *cell) median(key string) float64 { return median(c.values(key)) }

// medianOf returns NaN if there is no result.
func (r *report) medianOf(w *workload, name, key string) float64 {
	return r.cellOf(w, name).median(key)
}

// writeFiles writes the page, its charts and its data into a folder.
func (r *report) writeFiles(folder string) error {
	files, err := r.files()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files returns the contents of all files, by their names.
func (r *report) files() (map[string][]byte, error) {
	var page, data bytes.Buffer
	if err := r.writeMarkdown(&page); err != nil {
		return nil, err
	}
	if err := r.writeData(&data); err != nil {
		return nil, err
	}
	files := map[string][]byte{pageFile: page.Bytes(), dataFile: data.Bytes(), chartFile: r.chart()}
	for _, t := range themes {
		files[t.file] = r.readmeChart(t)
	}
	return files, nil
}

func (r *report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nThis page is written by the program in [bench/](../bench/README.md), which tells how it " +
		"measures and what that cannot show. Less is better, except in the columns \"per second\".\n\n")
	r.writeFirst(&b)
	r.writeLosses(&b)
	b.WriteString("## Everything\n\n")
	fmt.Fprintf(&b, "![Medians of each implementation as bars](%s)\n\n", chartFile)
	r.writeMissing(&b)
	for i := range r.Workloads {
		if i == 0 || r.Workloads[i].table != r.Workloads[i-1].table {
			r.writeTable(&b, i)
		}
	}
	r.writeEnvironment(&b)
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}
