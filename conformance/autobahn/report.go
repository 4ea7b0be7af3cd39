package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A verdict is what became of a case.
type verdict int

// The worst is the last one.
const (
	passed        verdict = iota
	informational         // the suite only tells what it saw
	unimplemented         // compression with these parameters was not agreed on
	nonStrict
	failed

	verdicts = iota
)

func (v verdict) String() string {
	return [...]string{"OK", "informational", "unimplemented", "non-strict", "failed"}[v]
}

// judge makes one verdict of the two words that the suite has for a case: what it says of the
// messages, and what it says of the end. A word that is not known is a failure.
func judge(behavior, end string) verdict {
	switch end {
	case "OK", "INFORMATIONAL":
	case "WRONG CODE", "FAILED BY CLIENT": // the latter: the client had to close the socket, not the server
		return max(nonStrict, judge(behavior, "OK"))
	default: // "UNCLEAN", "FAILED"
		return failed
	}
	switch behavior {
	case "OK":
		return passed
	case "NON-STRICT":
		return nonStrict
	case "INFORMATIONAL":
		return informational
	case "UNIMPLEMENTED":
		return unimplemented
	default: // "FAILED"
		return failed
	}
}

// A result is what the suite reports of a case.
type result struct {
	id          string // "12.1.3"
	number      [3]int
	verdict     verdict
	description string
	says        string // why the suite judges so
}

// group returns the number of the case's group.
func (r *result) group() int { return r.number[0] }

// A report is what became of the cases of one side.
type report struct {
	side    side
	results []result // in the order of their numbers
}

// A tally has the number of cases with each verdict.
type tally [verdicts]int

func (t tally) cases() (n int) {
	for _, count := range t {
		n += count
	}
	return n
}

func (t tally) String() string {
	parts := make([]string, 0, verdicts)
	for v, n := range t {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, verdict(v)))
		}
	}
	return fmt.Sprintf("%d cases: %s", t.cases(), cmp.Or(strings.Join(parts, ", "), "none"))
}

func (r *report) counts() (t tally) {
	for i := range r.results {
		t[r.results[i].verdict]++
	}
	return t
}

// readReport reads the suite's reports of a side. There must be one for each of the cases.
func readReport(folder string, side side, cases int) (*report, error) {
	r := &report{side: side}
	var index map[string]map[string]struct {
		Behavior      string `json:"behavior"`
		BehaviorClose string `json:"behaviorClose"`
		File          string `json:"reportfile"`
	}
	err := readJSON(filepath.Join(folder, "index.json"), &index)
	if cases == 0 && errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the suite's report: %w", err)
	}
	for id, c := range index[side.agent] {
		result := result{id: id, verdict: judge(c.Behavior, c.BehaviorClose)}
		for i, part := range strings.Split(id, ".") {
			if i >= len(result.number) {
				return nil, fmt.Errorf("the suite's report: case %q", id)
			}
			if result.number[i], err = strconv.Atoi(part); err != nil {
				return nil, fmt.Errorf("the suite's report: case %q: %w", id, err)
			}
		}
		if result.verdict != passed {
			if err := result.readDetails(filepath.Join(folder, filepath.Base(c.File))); err != nil {
				return nil, fmt.Errorf("the suite's report of case %s: %w", id, err)
			}
		}
		r.results = append(r.results, result)
	}
	slices.SortFunc(r.results, func(a, b result) int { return slices.Compare(a.number[:], b.number[:]) })
	if len(r.results) != cases {
		return nil, fmt.Errorf("the suite's report has %d cases of %d", len(r.results), cases)
	}
	return r, nil
}

// readDetails reads what the case is about and why it was judged so.
func (r *result) readDetails(file string) error {
	var details struct {
		Description   string `json:"description"`
		Behavior      string `json:"behavior"`
		Result        string `json:"result"`
		BehaviorClose string `json:"behaviorClose"`
		ResultClose   string `json:"resultClose"`
	}
	if err := readJSON(file, &details); err != nil {
		return err
	}
	description, _, _ := strings.Cut(details.Description, "<") // the rest is HTML
	r.description = strings.Join(strings.Fields(description), " ")
	r.says = fmt.Sprintf("%s: %s %s: %s", details.Behavior, details.Result, details.BehaviorClose, details.ResultClose)
	return nil
}

func readJSON(file string, v any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, v)
}
