package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	page      = "../docs/conformance.md"
	pageBegin = "<!-- results: written by `go test ./conformance -write` -->\n"
	pageEnd   = "<!-- end of results -->\n"
)

var write = flag.Bool("write", false, "write the results of the run to docs/conformance.md")

// results count the variants that each row passed on.
type results struct {
	mu      sync.Mutex
	passed  map[string]int
	all     int
	slowest time.Duration // that something took to come that has to come at once
	again   []func()      // tries what came late again
}

func newResults() *results { return &results{passed: map[string]int{}} }

func (r *results) pass(group, row string, waited time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed[group+"/"+row]++
	r.all++
	r.slowest = max(r.slowest, waited)
}

func (r *results) late(again func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = append(r.again, again)
}

// hopeless reports whether so much came late that no busy machine explains it.
func (r *results) hopeless() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.again) >= 50
}

// write puts the results into the page, if all rows ran and passed.
func (r *results) write(t *testing.T) {
	t.Helper()
	require.False(t, t.Failed(), "a failure is not written")
	results := tables(func(g group, row *row) int { return r.passed[g.name+"/"+row.name] })
	require.Equal(t, tables(expected), results, "results of a part are not written")
	before, _, after := readPage(t)
	summary := fmt.Sprintf("\n%d cases passed, on %d connections. What must come at once came within %v.\n\n",
		len(r.passed), r.all, r.slowest.Round(time.Millisecond))
	content := before + pageBegin + summary + results + pageEnd + after
	require.NoError(t, os.WriteFile(page, []byte(content), 0o600))
}

// TestPage checks that the page has exactly the rows that there are.
func TestPage(t *testing.T) {
	_, results, _ := readPage(t)
	_, got, _ := strings.Cut(results, "\n\n") // behind the summary, which each run has its own of
	if got != tables(expected) {
		assert.ElementsMatch(t, strings.Split(tables(expected), "\n"), strings.Split(got, "\n"))
		t.Fatal("docs/conformance.md is not up to date: go test ./conformance -write")
	}
}

// readPage splits the page.
func readPage(t *testing.T) (before, results, after string) {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), pageBegin)
	require.True(t, found, "%s has no %s", page, pageBegin)
	results, after, found = strings.Cut(rest, pageEnd)
	require.True(t, found, "%s has no %s", page, pageEnd)
	return before, strings.TrimPrefix(results, "\n"), after
}

// expected is how many variants a row has to pass on.
func expected(_ group, row *row) (n int) {
	for _, v := range variants() {
		if row.on(v) {
			n++
		}
	}
	return n
}

// tables are those of the page.
func tables(passed func(group, *row) int) string {
	var b strings.Builder
	for _, g := range groups() {
		fmt.Fprintf(&b, "### %s\n\n| the client sends | [RFC %d](https://www.rfc-editor.org/rfc/rfc%d) | must come back | passed |\n| --- | --- | --- | ---: |\n", g.name, g.rfc, g.rfc)
		for i := range g.rows {
			row := &g.rows[i]
			fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", row.name, row.rfc, row.describe(), passed(g, row))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// describe says what must come back.
func (r *row) describe() string {
	var parts []string
	for rest := r.want.back; len(rest) > 0; {
		kind := rest[0].kind()
		n := slices.IndexFunc(rest, func(f frame) bool { return f.kind() != kind })
		if n < 0 {
			n = len(rest)
		}
		if n > 1 {
			kind = fmt.Sprintf("%d × %s", n, kind)
		}
		parts, rest = append(parts, kind), rest[n:]
	}
	switch {
	case r.refused != 0:
		parts = []string{fmt.Sprintf("refused: %d", r.refused)}
	case r.offer != "" && r.answer == "":
		parts = []string{"declined"}
	case r.offer != "":
		parts = []string{"accepted"}
	}
	switch code := r.want.code; {
	case r.want.end == drops || r.goodbye:
		parts = append(parts, "end")
	case r.want.end == closes:
		parts = append(parts, fmt.Sprintf("answer %d", code))
	case r.want.end == fails:
		parts = append(parts, fmt.Sprintf("close %d", code))
	case len(parts) == 0:
		parts = append(parts, "nothing")
	}
	s := strings.Join(parts, ", ")
	if r.why != "" {
		s += ": " + r.why
	}
	return s
}
