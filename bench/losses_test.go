package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// withReasons replaces the reasons.
func withReasons(t *testing.T, others ...reason) {
	t.Helper()
	all := reasons
	t.Cleanup(func() { reasons = all })
	reasons = others
}

func losses(r *report) string {
	var b strings.Builder
	r.writeLosses(&b)
	return b.String()
}

const (
	binaryLoss = "| Echo | server CPU, µs per message | 4.00 | – | lxzan/gws | 2.70 | 1.48 | 1 | yes |\n"
	textLoss   = "| Echo, text | server CPU, µs per message | 4.00 | – | lxzan/gws | 3.70 | 1.08 | 1 | no |\n"
)

func TestLossesHaveTheirReasons(t *testing.T) {
	withReasons(t,
		reason{title: "Texts are long", cause: "They are.", advice: "shorten them.", workloads: regexp.MustCompile("text$")},
		reason{title: "Another column", cause: "No.", columns: []string{rate}},
		reason{title: "Another peer", cause: "No.", peers: []string{coderName}},
		reason{title: "It echoes", cause: "It does.", advice: "be silent.", columns: []string{serverCPU}, peers: []string{gwsName}},
	)
	text := losses(fixedReport())
	assert.Contains(t, text, "In 2 of 2 comparisons")
	assert.Regexp(t, `(?s)\n### Texts are long\n\nThey are\.\n\n\*\*What to do:\*\* shorten them\.\n\n\| workload .*`+
		regexp.QuoteMeta(textLoss)+`\n### It echoes\n\nIt does\..*`+regexp.QuoteMeta(binaryLoss), text)
	assert.NotContains(t, text, "Another")
	assert.NotContains(t, text, "No reason recorded")
}

func TestLossWithoutAReasonIsSeen(t *testing.T) {
	withReasons(t)
	assert.Contains(t, losses(fixedReport()), "\n### No reason recorded\n\n| workload | what | ours |")
}

func TestSmallLossCountsOnlyIfItIsInEveryRound(t *testing.T) {
	r := fixedReport()
	withReasons(t)
	r.cellOf(&r.Workloads[1], gwsName).samples = nil
	add(r, 1, gwsName, 3.9, 3.9, 3.9)
	text := losses(r)
	assert.Contains(t, text, "In 1 of 2 comparisons")
	assert.Contains(t, text, "Within the spread, a peer has the smaller median in: Echo, text (lxzan/gws, 1.03).\n")

	r.cellOf(&r.Workloads[1], oursName).samples = nil
	add(r, 1, oursName, 4, 4, 4)
	text = losses(r)
	assert.Contains(t, text, "In 2 of 2 comparisons")
	assert.Contains(t, text, "| Echo, text | server CPU, µs per message | 4.00 | – | lxzan/gws | 3.90 | 1.03 | 1 | yes |\n")
	assert.NotContains(t, text, "Within the spread")
}

func TestLossesAreThoseOfReadMessage(t *testing.T) {
	r := fixedReport()
	addSlice(r, 100, 100, 100)
	assert.Contains(t, losses(r), "In 2 of 2 comparisons")
	assert.Contains(t, losses(r), "| 4.00 | 100 | lxzan/gws | 2.70 | 1.48 | 1 | yes |\n")
}

func TestReportWithoutLossesSaysSo(t *testing.T) {
	r := fixedReport()
	r.Implementations = r.Implementations[:3] // without gws
	assert.Contains(t, losses(r), "In none of 2 comparisons ")
}
