package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMedian(t *testing.T) {
	assert.InDelta(t, 3.0, median([]float64{9, 1, 3}), 0)
	assert.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
	assert.True(t, math.IsNaN(median(nil)))
	values := []float64{3, 1, 2}
	median(values)
	assert.Equal(t, []float64{3, 1, 2}, values, "the order of rounds is kept")
}

func TestSpread(t *testing.T) {
	low, high := spread([]float64{2, 7, 1})
	assert.InDelta(t, 1.0, low, 0)
	assert.InDelta(t, 7.0, high, 0)
	low, high = spread(nil)
	assert.True(t, math.IsNaN(low))
	assert.True(t, math.IsNaN(high))
}

func TestPercentile(t *testing.T) {
	var values []float64
	for i := 100; i > 0; i-- {
		values = append(values, float64(i))
	}
	assert.InDelta(t, 50.0, percentile(values, 50), 0)
	assert.InDelta(t, 99.0, percentile(values, 99), 0)
	assert.InDelta(t, 100.0, percentile(values, 100), 0)
	assert.InDelta(t, 1.0, percentile(values, 0), 0)
	assert.InDelta(t, 5.0, percentile([]float64{5}, 99), 0)
	assert.True(t, math.IsNaN(percentile(nil, 50)))
}

func TestEveryValueIsFirstOnceARotation(t *testing.T) {
	values := []string{"a", "b", "c"}
	assert.Equal(t, []string{"a", "b", "c"}, rotated(values, 0))
	assert.Equal(t, []string{"b", "c", "a"}, rotated(values, 1))
	assert.Equal(t, []string{"c", "a", "b"}, rotated(values, 5))
	assert.Equal(t, []string{"a", "b", "c"}, values)
	assert.Empty(t, rotated([]string(nil), 3))
}
