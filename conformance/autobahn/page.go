package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	pagePath = "docs/autobahn.md"
	preface  = `# The Autobahn Testsuite

<!-- written by ` + "`go run ./conformance/autobahn -write`" + ` -->

`
)

// headline matches the sentence in which other pages say the result, with a link to the page.
var headline = regexp.MustCompile(`Of the \d+ cases of the \[Autobahn Testsuite\]\(([^)]+)\), the server passes [^.]*\.`)

// quoted has the pages with a headline.
var quoted = []string{"README.md", "docs/conformance.md"}

// groups has the names of the suite's groups of cases.
var groups = map[int]string{
	1:  "Framing",
	2:  "Pings and pongs",
	3:  "Reserved bits",
	4:  "Opcodes",
	5:  "Fragmentation",
	6:  "UTF-8",
	7:  "Closing",
	9:  "Limits and performance",
	10: "Fragmentation by the suite",
	12: "Compression of different payloads",
	13: "Compression with different parameters",
}

// An outcome is what a whole run of the suite came to.
type outcome struct {
	when     time.Time
	versions revisions
	note     string
	reports  []*report // of all sides
}

// problems returns an error that has a line for each case that is a problem: see explanations.
func (o *outcome) problems() error {
	var problems []error
	for _, report := range o.reports {
		for i := range report.results {
			r := &report.results[i]
			if r.verdict == passed {
				continue
			}
			if _, known := explain(r); !known || r.verdict >= nonStrict {
				problems = append(problems, fmt.Errorf("%s: case %s is %v (%s): %s", report.side.name, r.id, r.verdict, r.description, r.says))
			}
		}
	}
	return errors.Join(problems...)
}

// headline returns the result in a sentence. It counts the passed cases of the sides that play all
// cases, and the failed and non-strict cases of all sides.
func (o *outcome) headline(link string) string {
	var server, client, all tally
	for _, report := range o.reports {
		counts := report.counts()
		for v, n := range counts {
			all[v] += n
		}
		switch {
		case report.side.complete() && report.side.client:
			client = counts
		case report.side.complete():
			server = counts
		}
	}
	return fmt.Sprintf("Of the %d cases of the [Autobahn Testsuite](%s), the server passes %d and the client %d; %s non-strict, %s.",
		max(server.cases(), client.cases()), link, server[passed], client[passed],
		some(all[nonStrict], "is", "are"), some(all[failed], "fails", "fail"))
}

// some counts in words as far as that is usual.
func some(n int, one, many string) string {
	switch n {
	case 0:
		return "none " + one
	case 1:
		return "one " + one
	default:
		return fmt.Sprintf("%d %s", n, many)
	}
}

// page returns the page in Markdown.
func (o *outcome) page() string {
	var b strings.Builder
	b.WriteString(preface)
	fmt.Fprintf(&b, "**%s**\n\n", o.headline(suiteURL))
	b.WriteString(introduction)
	o.versions.write(&b, o.when, o.note)
	b.WriteString("\n## All cases\n\n")
	writeHead(&b, " ")
	for _, report := range o.reports {
		writeCounts(&b, report.side.name, report.counts())
	}
	for _, report := range o.reports {
		fmt.Fprintf(&b, "\n## %s\n\n", report.side.name)
		report.write(&b)
	}
	return b.String()
}

const (
	suiteURL     = "https://github.com/crossbario/autobahn-testsuite"
	introduction = `The suite's client plays against [examples/echo](../examples/echo/main.go), and its server against a
client made with ` + "`Dial`" + `: without compression, with compression of each message by itself, and with
context takeover. The groups 12 and 13 are about compression: without it, they are left out, and
with context takeover, only they are run. The suite judges the messages of a case and the end of its
connection; here, the worse judgment counts.
[How to run it](conformance.md#the-autobahn-testsuite).

`
)

// write writes the list of what took part.
func (v *revisions) write(b *strings.Builder, when time.Time, note string) {
	fmt.Fprintf(b, "- Run on %s (UTC).\n", when.UTC().Format("2 January 2006"))
	fmt.Fprintf(b, "- The library: %s, built with %s for %s.\n", v.library, v.golang, v.system)
	fmt.Fprintf(b, "- The suite: %s.", strings.Join(v.suite, ", "))
	if note != "" {
		b.WriteString(" " + note)
	}
	b.WriteString("\n")
}

// writeHead writes the head of a table of counts.
func writeHead(b *strings.Builder, first string) {
	fmt.Fprintf(b, "|%s| cases |", first)
	for v := range verdicts {
		fmt.Fprintf(b, " %v |", verdict(v))
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", verdicts+1) + "\n")
}

// writeCounts writes a row of a table of counts.
func writeCounts(b *strings.Builder, name string, counts tally) {
	fmt.Fprintf(b, "| %s | %d |", name, counts.cases())
	for _, n := range counts {
		fmt.Fprintf(b, " %d |", n)
	}
	b.WriteString("\n")
}

// write writes the section of a side: its groups, and each case that is not OK.
func (r *report) write(b *strings.Builder) {
	writeHead(b, " group ")
	for rest := r.results; len(rest) > 0; {
		group, counts := rest[0].group(), tally{}
		for len(rest) > 0 && rest[0].group() == group {
			counts[rest[0].verdict]++
			rest = rest[1:]
		}
		writeCounts(b, strings.TrimSpace(fmt.Sprintf("%d %s", group, groups[group])), counts)
	}
	if r.counts()[passed] == len(r.results) {
		return
	}
	b.WriteString("\n| case that is not OK | what the suite does | | why |\n| --- | --- | --- | --- |\n")
	for i := range r.results {
		result := &r.results[i]
		if result.verdict != passed {
			why, _ := explain(result)
			fmt.Fprintf(b, "| %s | %s | %v | %s |\n", result.id, cell(result.description), result.verdict, cell(why))
		}
	}
}

// cell makes text fit into a cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// write writes the page, and the headline into the other pages, below the root of the repository.
func (o *outcome) write(root string) error {
	if err := os.WriteFile(filepath.Join(root, pagePath), []byte(o.page()), 0o600); err != nil {
		return err
	}
	for _, name := range quoted {
		file := filepath.Join(root, name)
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		match := headline.FindSubmatch(content)
		if match == nil {
			return fmt.Errorf("%s says nothing of the suite, which it should", name)
		}
		content = headline.ReplaceAllLiteral(content, []byte(o.headline(string(match[1]))))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
