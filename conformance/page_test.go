package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	page    = "../docs/conformance.md"         // has one line of result
	details = "../docs/conformance-results.md" // is written by this test
	preface = `# Conformance: the cases

<!-- written by ` + "`go test ./conformance -write`" + ` -->

Every case of the [conformance suite](conformance.md#what-is-tested), with the number of
endpoints on which it passed.

`
)

var (
	write    = flag.Bool("write", false, "write the results of the run to docs/conformance-results.md")
	headline = regexp.MustCompile(`All \d+ cases pass, on \d+ connections`)
)

// muchLate is how many late rows run again at once, and not only after all others: if the library is
// slow, all are late.
const muchLate = 50

// results counts the variants on which each row passed.
type results struct {
	mu       sync.Mutex
	passed   map[string]int
	all      int
	slowest  time.Duration // the longest time of something that should arrive at once
	again    []func() bool // run the rows again in which something was late, and report whether they pass
	repeated int           // how many have run again

	alone    sync.RWMutex // held by what runs: for reading, or by a row that runs alone
	hopeless atomic.Bool  // whether a row was late when it ran alone, or failed
}

func newResults() *results { return &results{passed: map[string]int{}} }

func (r *results) pass(group, row string, waited time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed[group+"/"+row]++
	r.all++
	r.slowest = max(r.slowest, waited)
}

func (r *results) late(again func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = append(r.again, again)
}

// takeLate returns the rows that must run again, if there are that many.
func (r *results) takeLate(least int) (again []func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.again) >= least {
		again, r.again = r.again, nil
	}
	return again
}

// repeat runs the late rows again, one by one, if there are that many.
func (r *results) repeat(least int) {
	for _, again := range r.takeLate(least) {
		r.alone.Lock()
		if !r.hopeless.Load() {
			r.repeated++
			r.hopeless.Store(!again())
		}
		r.alone.Unlock()
	}
}

// write writes the results into the pages, if all rows ran and passed.
func (r *results) write(t *testing.T) {
	t.Helper()
	require.False(t, t.Failed(), "only results without a failure are written")
	results := tables(func(g group, row *row) int { return r.passed[g.name+"/"+row.name] })
	require.Equal(t, tables(expected), results, "only results of all rows are written")
	summary := fmt.Sprintf("%d cases passed, on %d connections. What must come at once came within %v.\n\n",
		len(r.passed), r.all, r.slowest.Round(time.Millisecond))
	require.NoError(t, os.WriteFile(details, []byte(preface+summary+results), 0o600))
	require.NoError(t, os.WriteFile(page, headline.ReplaceAll(read(t, page), []byte(result())), 0o600))
}

// TestPage checks that the pages have exactly the rows of the tables.
func TestPage(t *testing.T) {
	got, found := strings.CutPrefix(string(read(t, details)), preface)
	require.True(t, found, "%s begins with something else", details)
	_, got, _ = strings.Cut(got, "\n\n") // after the summary, which differs from run to run
	if want := tables(expected); got != want {
		assert.ElementsMatch(t, strings.Split(want, "\n"), strings.Split(got, "\n"))
		t.Fatalf("%s is not up to date: go test ./conformance -write", details)
	}
	assert.Equal(t, result(), string(headline.Find(read(t, page))), "%s: go test ./conformance -write", page)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}

// result is what the headline says when all rows have passed.
func result() string {
	cases, connections := 0, 0
	for _, g := range groups() {
		for i := range g.rows {
			cases++
			connections += expected(g, &g.rows[i])
		}
	}
	return fmt.Sprintf("All %d cases pass, on %d connections", cases, connections)
}

// expected returns on how many variants the row must pass.
func expected(_ group, row *row) (n int) {
	for _, v := range variants() {
		if row.on(v) {
			n++
		}
	}
	return n
}

// tables returns the tables of results in Markdown.
func tables(passed func(group, *row) int) string {
	var b strings.Builder
	for i, g := range groups() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "## %s\n\n| the client sends | [RFC %d](https://www.rfc-editor.org/rfc/rfc%d) | must come back | passed |\n| --- | --- | --- | ---: |\n", g.name, g.rfc, g.rfc)
		for i := range g.rows {
			row := &g.rows[i]
			fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", row.name, row.rfc, row.describe(), passed(g, row))
		}
	}
	return b.String()
}

// describe returns what the client must receive, for the page.
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
