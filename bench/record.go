package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// A record is a report as a file has it: the results and where they come from, without the texts
// of the page, which are the program's.
type record struct {
	Environment     environment              `json:"environment"`
	Rounds          int                      `json:"rounds"`
	Scale           recordedScale            `json:"scale"`
	Implementations []recordedImplementation `json:"implementations"`
	Skipped         []string                 `json:"skipped"`
	Cells           []recordedCell           `json:"cells"`
}

// A recordedScale is the part of a scale that the page depends on: numbers of connections, and whether
// memory is measured in one round.
type recordedScale struct {
	Idle    int  `json:"idle"`
	Members int  `json:"members"`
	Growth  int  `json:"growth"`
	Quick   bool `json:"quick,omitempty"`
}

type recordedImplementation struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
}

type recordedCell struct {
	Workload       string               `json:"workload"`
	Implementation string               `json:"implementation"`
	Missing        string               `json:"missing,omitempty"`
	Values         map[string][]float64 `json:"values,omitempty"` // by the keys of columns, in the order of rounds
}

// writeData writes the report so that readReport can read it. Each cell is one line, so that a
// comparison of two files shows what changed.
func (r *report) writeData(w io.Writer) error {
	rec := record{
		Environment: r.Environment, Rounds: r.Rounds, Skipped: r.Skipped,
		Scale: recordedScale{Idle: r.Scale.idle, Members: r.Scale.members, Growth: r.Scale.growth, Quick: r.Scale.quick},
	}
	for _, im := range r.Implementations {
		rec.Implementations = append(rec.Implementations, recordedImplementation{im.name, r.Versions[im.name]})
	}
	head, err := json.MarshalIndent(&rec, "", "  ")
	if err != nil {
		return err
	}
	const cells = `"cells": `
	head, found := bytes.CutSuffix(head, []byte(cells+"null\n}"))
	if !found {
		return errors.New("bench: the cells are not the last field of a record")
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(cells + "[")
	separator := "\n"
	for wi := range r.Workloads {
		for ii := range r.Implementations {
			w, im := &r.Workloads[wi], &r.Implementations[ii]
			if !w.has(im) {
				continue
			}
			line, err := json.Marshal(r.recorded(w, im))
			if err != nil {
				return err
			}
			b.WriteString(separator + "    ")
			b.Write(line)
			separator = ",\n"
		}
	}
	b.WriteString("\n  ]\n}\n")
	_, err = w.Write(b.Bytes())
	return err
}

func (r *report) recorded(w *workload, im *implementation) recordedCell {
	c := r.cell(w, im)
	rec := recordedCell{Workload: w.name, Implementation: im.name, Missing: c.missing}
	if len(c.samples) > 0 {
		rec.Values = make(map[string][]float64, len(w.columns))
		for _, col := range w.columns {
			if values := c.values(col.key); values != nil {
				rec.Values[col.key] = values
			}
		}
	}
	return rec
}

// readReportFile reads a report from a file that writeData has written.
func readReportFile(name string) (*report, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	r, err := readReport(f)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", name, err)
	}
	return r, nil
}

// readReport reads what writeData has written. It fails if the file has a workload, a column or an
// implementation that this program does not know. The report has only what was measured.
func readReport(rd io.Reader) (*report, error) {
	var rec record
	d := json.NewDecoder(rd)
	d.DisallowUnknownFields()
	if err := d.Decode(&rec); err != nil {
		return nil, err
	}
	r := newReport(rec.Rounds, scale{idle: rec.Scale.Idle, members: rec.Scale.Members, growth: rec.Scale.Growth, quick: rec.Scale.Quick})
	r.Environment, r.Skipped, r.Versions = rec.Environment, rec.Skipped, make(map[string][]string)
	measured := make(map[string]bool)
	for _, im := range rec.Implementations {
		measured[im.Name] = true
		r.Versions[im.Name] = im.Versions
	}
	for _, im := range implementations {
		if measured[im.name] {
			r.Implementations = append(r.Implementations, im)
			delete(measured, im.name)
		}
	}
	for name := range measured {
		return nil, fmt.Errorf("it has results of %q, which this program does not know", name)
	}
	return r, r.addCells(rec.Cells)
}

func (r *report) addCells(cells []recordedCell) error {
	known := make(map[string]*workload)
	all := workloads(r.Scale)
	for i := range all {
		known[all[i].name] = &all[i]
	}
	measured := make(map[string]bool)
	for _, rec := range cells {
		w := known[rec.Workload]
		if w == nil {
			return fmt.Errorf("it has results of the workload %q, which this program does not know", rec.Workload)
		}
		if r.implementation(rec.Implementation) == nil {
			return fmt.Errorf("it has results of %q, but not its versions", rec.Implementation)
		}
		rounds := r.Rounds
		if w.once {
			rounds = 1
		}
		samples, err := rec.samples(w, rounds)
		if err != nil {
			return fmt.Errorf("workload %q of %q: %w", rec.Workload, rec.Implementation, err)
		}
		*r.cellOf(w, rec.Implementation) = cell{samples: samples, missing: rec.Missing}
		measured[w.name] = true
	}
	for _, w := range all {
		if measured[w.name] {
			r.Workloads = append(r.Workloads, w)
		}
	}
	return nil
}

// samples returns the samples of a cell, one for each round in which it was measured.
func (rec *recordedCell) samples(w *workload, rounds int) ([]sample, error) {
	if rec.Missing != "" {
		return nil, nil
	}
	samples := make([]sample, rounds)
	for i := range samples {
		samples[i] = make(sample)
	}
	for _, key := range slices.Sorted(maps.Keys(rec.Values)) {
		values := rec.Values[key]
		if !slices.ContainsFunc(w.columns, func(col column) bool { return col.key == key }) {
			return nil, fmt.Errorf("it has no column %q", key)
		}
		if len(values) != rounds {
			return nil, fmt.Errorf("%d values of %q in %s", len(values), key, counted(rounds, "round"))
		}
		for i, v := range values {
			samples[i][key] = v
		}
	}
	return samples, nil
}
