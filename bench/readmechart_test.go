package main

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadmeChartSaysWhoIsSmallest(t *testing.T) {
	r := pageReport(t)
	for _, p := range readmePanels {
		smallest := 0
		for _, bar := range r.readmeBarsOf(p.workload, p.key) {
			if bar.smallest {
				smallest++
				for _, other := range r.readmeBarsOf(p.workload, p.key) {
					assert.True(t, other.lent || other.value >= bar.value, "%s: %s", p.title, other.title)
				}
			}
			if bar.name == gorillaName {
				assert.InDelta(t, 1, bar.ratio, 0)
			}
		}
		assert.Equal(t, 1, smallest, p.title)
	}
}

func TestReadmeChartIsAccessible(t *testing.T) {
	r := pageReport(t)
	for _, theme := range themes {
		image := r.readmeChart(theme)
		wellFormed(t, image)
		text := string(image)
		assert.Contains(t, text, `role="img" aria-labelledby="title desc"`)
		assert.Contains(t, text, `<title id="title">`)
		assert.Contains(t, text, `<desc id="desc">Bursts of small messages, processor time per message: this library `)
		assert.NotContains(t, text, "<script")
		assert.NotContains(t, text, "href", "nothing is loaded")
		assert.NotContains(t, text, "url(", "nothing is loaded")
	}
}

// The minimum of WCAG 2.1 is 4.5 for text (1.4.3), and 3 for graphics (1.4.11).
func TestColorsOfTheReadmeChartHaveContrast(t *testing.T) {
	for _, theme := range themes {
		for _, color := range []string{theme.text, theme.dim} {
			assert.GreaterOrEqual(t, contrast(t, color, theme.page), 4.5, "%s: %s", theme.file, color)
		}
		for _, color := range []string{theme.ours, theme.peer} {
			assert.GreaterOrEqual(t, contrast(t, color, theme.page), 3.0, "%s: %s", theme.file, color)
		}
	}
}

// contrast returns the contrast ratio of two colors, as WCAG 2.1 defines it.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 24)
	require.NoError(t, err)
	linear := func(shift int) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}

// Texts of a panel end before the next one begins, even in a wide font.
func TestReadmeChartHasRoomForItsNumbers(t *testing.T) {
	const wide = 7.8 // the width of a character at most, on average, of bold text of 13 px
	r := pageReport(t)
	r.cellOf(r.workload("handshake"), oursName).samples = nil
	for range r.Rounds {
		c := r.cellOf(r.workload("handshake"), oursName)
		c.samples = append(c.samples, sample{serverCPU: 999}) // the longest bar that has a number of three digits
	}
	type svgText struct {
		X      float64 `xml:"x,attr"`
		Anchor string  `xml:"text-anchor,attr"`
		Text   string  `xml:",chardata"`
	}
	var image struct {
		Panels []struct {
			Texts []svgText `xml:"text"`
		} `xml:"g"`
	}
	require.NoError(t, xml.Unmarshal(r.readmeChart(themes[0]), &image))
	require.Len(t, image.Panels, len(readmePanels))
	for _, panel := range image.Panels {
		require.NotEmpty(t, panel.Texts)
		for _, text := range panel.Texts {
			width := wide * float64(len([]rune(text.Text)))
			if text.Anchor == "end" {
				assert.GreaterOrEqual(t, text.X, width*0.85, text.Text) // in labels, only ours is bold
				continue
			}
			assert.LessOrEqual(t, text.X+width, float64(readmePanel+readmeGap), text.Text)
		}
	}
}
