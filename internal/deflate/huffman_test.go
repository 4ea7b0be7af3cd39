package deflate

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// optimalSize returns the size in bits of what has these frequencies, in codes of any length: the
// sum of all weights of Huffman's tree.
func optimalSize(frequencies []uint16) (size int) {
	var weights []int
	for _, f := range frequencies {
		if f > 0 {
			weights = append(weights, int(f))
		}
	}
	if len(weights) == 1 {
		return weights[0]
	}
	for len(weights) > 1 {
		slices.Sort(weights)
		weights[1] += weights[0]
		size += weights[1]
		weights = weights[1:]
	}
	return size
}

// Codes are complete, no longer than allowed, and as short as possible where that is no limit.
func TestHuffmanCodes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	h, a := new(huffman), new(alphabet)
	for n := range 3000 {
		longest := maxCodeLength
		frequencies := make([]uint16, maxLiterals)
		if n%2 == 0 {
			longest, frequencies = lengthBits, make([]uint16, codesOfLengths)
		}
		most := 1 << random.IntN(15)
		for i := range frequencies {
			if random.IntN(3) > 0 {
				frequencies[i] = uint16(random.IntN(1 + random.IntN(most))) //nolint:gosec // it fits
			}
		}
		if n%7 == 0 { // Fibonacci's numbers make the longest codes
			clear(frequencies)
			a, b := uint16(1), uint16(1)
			for i := range min(len(frequencies), 22) {
				frequencies[i], a, b = a, b, a+b
			}
		}
		codes := make([]code, len(frequencies))
		copy(a.counts[:], frequencies)
		h.build(a, len(frequencies), longest)
		for _, symbol := range a.used {
			codes[symbol] = a.codes[symbol]
		}
		room, size, used, deepest := 1<<longest, 0, 0, uint8(0)
		for symbol, c := range codes {
			require.Equal(t, frequencies[symbol] > 0, c.length > 0)
			if c.length > 0 {
				require.LessOrEqual(t, int(c.length), longest)
				room -= 1 << (longest - int(c.length))
				size += int(frequencies[symbol]) * int(c.length)
				used++
				deepest = max(deepest, c.length)
			}
		}
		if used < 2 {
			continue
		}
		require.Zero(t, room, "the codes are not complete")
		if int(deepest) < longest {
			require.Equal(t, optimalSize(frequencies), size)
		} else {
			assert.LessOrEqual(t, optimalSize(frequencies), size)
		}
	}
}
