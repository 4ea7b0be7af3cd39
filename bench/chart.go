package main

import (
	"bytes"
	"fmt"
	"html"
)

// Sizes of the chart, in units of its viewBox.
const (
	panelWidth  = 475
	panelGap    = 24
	panelTitle  = 40
	rowHeight   = 18
	labelWidth  = 225
	valueWidth  = 60
	panelsInRow = 2
)

// chart draws a panel for each charted workload, with the medians of the first column as bars.
// The image has its own background, light or dark by the preference of the browser, so that it
// is readable on any page.
func (r *report) chart() []byte {
	var panels []*workload
	for i := range r.Workloads {
		if r.Workloads[i].charted {
			panels = append(panels, &r.Workloads[i])
		}
	}
	panelHeight := panelTitle + len(r.Implementations)*rowHeight + panelGap
	rows := (len(panels) + panelsInRow - 1) / panelsInRow
	width := panelsInRow*(panelWidth+panelGap) + panelGap
	height := rows*panelHeight + panelGap

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>Benchmarks: medians, less is better</title>
<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 13px; }
  .what { fill: #59636e; font-size: 11px; }
  .value { fill: #59636e; }
  .page { fill: #ffffff; }
  .peer { fill: #9aa4af; }
  .raw { fill: #d1d9e0; }
  .ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .what, .value { fill: #9198a1; }
    .page { fill: #0d1117; }
    .peer { fill: #656c76; }
    .raw { fill: #3d444d; }
    .ours { fill: #4493f8; }
  }
</style>
<rect class="page" width="%[1]d" height="%[2]d"/>
`, width, height, width, height)
	for i, w := range panels {
		x := panelGap + i%panelsInRow*(panelWidth+panelGap)
		y := panelGap + i/panelsInRow*panelHeight
		fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">\n", x, y)
		r.panel(&b, w)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (r *report) panel(b *bytes.Buffer, w *workload) {
	col := w.columns[0]
	largest := 0.0
	for i := range r.Implementations {
		if m := r.cell(w, &r.Implementations[i]).median(col.key); m > largest {
			largest = m
		}
	}
	fmt.Fprintf(b, "<text class=\"title\" y=\"12\">%s</text>\n<text class=\"what\" y=\"28\">%s</text>\n",
		html.EscapeString(w.title()), html.EscapeString(col.title))
	for i := range r.Implementations {
		im := &r.Implementations[i]
		y := panelTitle + i*rowHeight
		class := "peer"
		switch {
		case im.ours:
			class = "ours"
		case im.raw:
			class = "raw"
		}
		m := r.cell(w, im).median(col.key)
		length := 0.0
		if m > 0 && largest > 0 {
			length = m / largest * (panelWidth - labelWidth - valueWidth)
		}
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>"+
			"<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>"+
			"<text class=\"value\" x=\"%.1f\" y=\"%d\">%s</text>\n",
			labelWidth-6, y+12, html.EscapeString(im.name), class, labelWidth, y+2, length, rowHeight-5,
			labelWidth+length+5, y+12, number(m))
	}
}
