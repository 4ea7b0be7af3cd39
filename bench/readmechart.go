package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// A theme has the colors of a chart in the README: GitHub's own, light or dark.
type theme struct {
	file string
	page string // the background
	text string
	dim  string // text of less weight
	ours string // bars
	peer string
	line string // the border
}

var themes = []theme{
	{file: "readme-light.svg", page: "#ffffff", text: "#1f2328", dim: "#59636e", ours: "#0969da", peer: "#818b98", line: "#d1d9e0"},
	{file: "readme-dark.svg", page: "#0d1117", text: "#f0f6fc", dim: "#9198a1", ours: "#4493f8", peer: "#6e7681", line: "#3d444d"},
}

// readmePanels has the panels of the chart in the README. The text in what stands below the title.
var readmePanels = []struct{ workload, key, title, what, unit string }{
	{"bursts", serverCPU, "Bursts of small messages", "processor time per message", "µs"},
	{"echo 16 KiB", serverCPU, "Echo of 16 KiB", "processor time per message", "µs"},
	{"memory", "used rss", "An idle connection", "resident memory, after a message", "KiB"},
	{"handshake", serverCPU, "Handshake", "processor time per connection", "µs"},
}

// readmeBars has the implementations whose bars a panel shows. A bar for lent messages follows the bar
// of this library, where the first table has a number for them.
var readmeBars = []string{oursName, gorillaName, coderName, gwsName}

// A bar is one number of a panel.
type bar struct {
	name, title string
	value       float64
	ratio       float64 // to gorilla
	lent        bool    // whether this library lends the messages
	smallest    bool    // of the bars without lent: a bar for lent messages must not hide a loss
}

// readmeBarsOf returns the bars of a panel. It returns nothing if gorilla was not measured: the other
// bars are drawn as ratios to gorilla's.
func (r *report) readmeBarsOf(workload, key string) []bar {
	w := r.workload(workload)
	if w == nil || math.IsNaN(r.medianOf(w, gorillaName, key)) {
		return nil
	}
	var bars []bar
	smallest := math.Inf(1)
	draw := func(c firstColumn, lent bool) {
		if v := r.medianOf(w, c.name, key); !math.IsNaN(v) {
			bars = append(bars, bar{name: c.name, title: c.title, value: v, ratio: v / r.medianOf(w, gorillaName, key), lent: lent})
			if !lent {
				smallest = min(smallest, v)
			}
		}
	}
	for _, c := range beside {
		if !slices.Contains(readmeBars, c.name) {
			continue
		}
		draw(c, false)
		if way, ok := r.lent(row{w, column{key: key}}); ok && c.name == oursName {
			draw(firstColumn{way.name, "… " + strings.Trim(way.title, "`")}, true)
		}
	}
	for i := range bars {
		bars[i].smallest = bars[i].value == smallest && !bars[i].lent
	}
	return bars
}

// Sizes of the chart in the README, in units of its viewBox.
const (
	readmeWidth   = 760
	readmeMargin  = 20
	readmeGap     = 28 // between panels
	readmePanel   = (readmeWidth - 2*readmeMargin - readmeGap) / 2
	readmeHead    = 48 // of a panel, above its bars
	readmeRow     = 22
	readmeLabel   = 92  // width of the labels of bars
	readmeNumbers = 122 // width of the numbers of bars
	readmeFoot    = 24
	readmeHeight  = 2*readmeMargin + 2*(readmeHead+5*readmeRow) + readmeGap + readmeFoot
)

// readmeChart draws a chart of ratios to gorilla, in the colors of a theme. It has bars of
// different looks and a mark at the smallest, so that it can be read without colors.
func (r *report) readmeChart(t theme) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" `+
		`role="img" aria-labelledby="title desc">
<title id="title">This library beside gorilla, coder and gws: less is better</title>
<desc id="desc">%s</desc>
<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: %s; }
  .title { font-weight: 600; font-size: 15px; }
  .ours { font-weight: 600; }
  .dim { fill: %s; font-size: 12px; }
</style>
<rect x="0.5" y="0.5" width="%d" height="%d" rx="6" fill="%s" stroke="%s"/>
`, readmeWidth, readmeHeight, html.EscapeString(r.readmeText()), t.text, t.dim, readmeWidth-1, readmeHeight-1, t.page, t.line)
	largest := 1.0
	for _, p := range readmePanels {
		for _, bar := range r.readmeBarsOf(p.workload, p.key) {
			largest = max(largest, bar.ratio)
		}
	}
	for i, p := range readmePanels {
		x := readmeMargin + i%2*(readmePanel+readmeGap)
		y := readmeMargin + i/2*(readmeHead+5*readmeRow+readmeGap)
		fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">\n<text class=\"title\" y=\"14\">%s</text>\n"+
			"<text class=\"dim\" y=\"33\">%s</text>\n", x, y, html.EscapeString(p.title), html.EscapeString(p.what))
		drawBars(&b, t, r.readmeBarsOf(p.workload, p.key), p.unit, largest)
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(&b, "<text class=\"dim\" x=\"%d\" y=\"%d\">Less is better. In parentheses: the ratio to gorilla. ◄ marks "+
		"the smallest; outlined bars (lent messages) do not count.</text>\n</svg>\n", readmeMargin, readmeHeight-readmeMargin+2)
	return b.Bytes()
}

// drawBars draws the bars of a panel. A bar of the largest ratio of the chart has the full length.
func drawBars(b *bytes.Buffer, t theme, bars []bar, unit string, largest float64) {
	const full = readmePanel - readmeLabel - readmeNumbers
	for i, bar := range bars {
		y := readmeHead + i*readmeRow
		class, paint, mark := "", fmt.Sprintf(`fill="%s"`, t.peer), ""
		switch {
		case bar.name == oursName:
			class, paint = ` class="ours"`, fmt.Sprintf(`fill="%s"`, t.ours)
		case bar.lent: // an outline
			paint = fmt.Sprintf(`fill="none" stroke="%s" stroke-width="1.5"`, t.ours)
		}
		if bar.smallest {
			mark = " ◄"
		}
		length := math.Max(bar.ratio/largest*full, 2)
		fmt.Fprintf(b, "<text%s x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text><rect %s x=\"%d\" y=\"%d\" width=\"%.1f\" "+
			"height=\"12\" rx=\"1\"/><text%s x=\"%.1f\" y=\"%d\">%s %s (%s)%s</text>\n", class, readmeLabel-8, y+12, bar.title, paint,
			readmeLabel, y+2, length, class, readmeLabel+length+7, y+12, number(bar.value), unit, number(bar.ratio), mark)
	}
}

// readmeText says what the chart shows, for a reader who cannot see it.
func (r *report) readmeText() string {
	var panels []string
	for _, p := range readmePanels {
		var bars []string
		for _, bar := range r.readmeBarsOf(p.workload, p.key) {
			title := strings.Replace(bar.title, "… ", "this library with ", 1)
			bars = append(bars, fmt.Sprintf("%s %s %s", title, number(bar.value), p.unit))
		}
		if len(bars) > 0 {
			panels = append(panels, fmt.Sprintf("%s, %s: %s.", p.title, p.what, strings.Join(bars, ", ")))
		}
	}
	return strings.Join(panels, " ")
}
