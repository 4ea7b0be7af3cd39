package main

import (
	"math"
	"slices"
)

// median returns the middle value, or NaN without values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread returns the smallest and the largest value, or NaN without values.
func spread(values []float64) (low, high float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(values), slices.Max(values)
}

// percentile returns the smallest value that at least p percent of the values do not exceed, or
// NaN without values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// rotated returns all values in order, beginning with a different one in each turn.
func rotated[T any](values []T, turn int) []T {
	if len(values) == 0 {
		return nil
	}
	first := turn % len(values)
	return slices.Concat(values[first:], values[:first])
}
