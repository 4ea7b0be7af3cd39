package deflate

import (
	"math/bits"
	"slices"
)

// A code is a Huffman code as it is written: its bits, the first one lowest, and its length.
type code struct {
	bits   uint16
	length uint8
}

// A huffman makes codes from the frequencies of symbols. It has memory for that.
type huffman struct {
	weights [maxLiterals + 2]uint32
	symbols [maxLiterals + 2]uint32 // with their frequencies, the rarest first
	ends    [256]uint16             // for sort: where the symbols of each frequency go
}

const symbolBits = 9 // of an entry of huffman.symbols

// build sets the codes of the symbols that occur, none longer than longest bits, and of length 0
// for the others. A single symbol gets a code of one bit.
func (h *huffman) build(codes []code, frequencies []uint16, longest int) {
	clear(codes)
	symbols := h.sort(frequencies)
	weights := h.weights[:len(symbols)]
	for i, s := range symbols {
		weights[i] = s >> symbolBits
	}
	count := countLengths(weights, longest)
	var next [maxCodeLength + 1]uint16
	for length := 1; length < longest; length++ {
		next[length+1] = (next[length] + uint16(count[length])) << 1 //nolint:gosec // it fits
	}
	at := 0
	for length := longest; length > 0; length-- { // the rarest symbols have the longest codes
		for range count[length] {
			codes[symbols[at]&(1<<symbolBits-1)].length = uint8(length) //nolint:gosec // at most 15
			at++
		}
	}
	for symbol := range frequencies {
		c := &codes[symbol]
		if c.length > 0 {
			c.bits = reverse(next[c.length], c.length)
			next[c.length]++
		}
	}
}

// sort returns the symbols that occur, the rarest first. Symbols of one frequency stay in order.
// In short messages, no symbol occurs often: then it counts how many symbols have each frequency.
func (h *huffman) sort(frequencies []uint16) []uint32 {
	n, most := 0, uint16(0)
	for _, f := range frequencies {
		most = max(most, f)
	}
	if int(most) >= len(h.ends) {
		for symbol, f := range frequencies {
			if f > 0 {
				h.symbols[n] = uint32(f)<<symbolBits | uint32(symbol) //nolint:gosec // it fits
				n++
			}
		}
		slices.Sort(h.symbols[:n])
		return h.symbols[:n]
	}
	clear(h.ends[:most+1])
	for _, f := range frequencies {
		h.ends[f]++
	}
	h.ends[0] = 0
	for f := 1; f <= int(most); f++ {
		h.ends[f] += h.ends[f-1]
	}
	n = int(h.ends[most])
	for symbol, f := range slices.Backward(frequencies) {
		if f > 0 {
			h.ends[f]--
			h.symbols[h.ends[f]] = uint32(f)<<symbolBits | uint32(symbol) //nolint:gosec // likewise
		}
	}
	return h.symbols[:n]
}

// reverse returns the bits of a code, the first one lowest.
func reverse(c uint16, length uint8) uint16 { return bits.Reverse16(c) >> (16 - length) }

// countLengths returns how many codes of each length there are, for symbols of these weights, which
// are sorted and are overwritten. It is the algorithm of Moffat and Katajainen, "In-place
// calculation of minimum-redundancy codes" (1995), after which codes are shortened to the longest
// length.
func countLengths(w []uint32, longest int) (count lengthCount) {
	n := len(w)
	if n < 2 {
		count[1] = n
		return count
	}
	joinWeights(w)
	// From here on, w has the depths of the inner nodes, the root last.
	w[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		w[i] = w[w[i]] + 1
	}
	inner := n - 2
	for open, depth := 1, 0; open > 0; depth++ {
		used := 0
		for ; inner >= 0 && int(w[inner]) == depth; inner-- {
			used++
		}
		count[min(depth, longest)] += open - used
		open = 2 * used
	}
	count.shorten(longest)
	return count
}

// joinWeights joins the two lightest nodes of a tree again and again. It leaves the parents of the
// inner nodes in w.
func joinWeights(w []uint32) {
	n := len(w)
	w[0] += w[1]
	inner, leaf := 0, 2
	for i := 1; i < n-1; i++ {
		for second := range 2 {
			var weight uint32
			if leaf >= n || inner < i && w[inner] < w[leaf] {
				weight = w[inner]
				w[inner] = uint32(i) //nolint:gosec // it fits
				inner++
			} else {
				weight = w[leaf]
				leaf++
			}
			if second == 0 {
				w[i] = weight
			} else {
				w[i] += weight
			}
		}
	}
}

// shorten makes codes possible, where some were counted as shorter than they are.
func (c *lengthCount) shorten(longest int) {
	total := 0
	for length := 1; length <= longest; length++ {
		total += c[length] << (longest - length)
	}
	for ; total > 1<<longest; total-- {
		c[longest]--
		length := longest - 1
		for c[length] == 0 {
			length--
		}
		c[length]--
		c[length+1] += 2
	}
}
