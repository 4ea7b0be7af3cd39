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

// An alphabet has the symbols of a block, and their codes.
type alphabet struct {
	counts [maxLiterals + 2]uint16 // how often each symbol occurs
	codes  [maxLiterals + 2]code   // of the symbols that occur
	used   []uint16                // the symbols that occur, in order
	memory [maxLiterals + 2]uint16 // for used
}

// find finds the symbols that occur among the first n, and returns the greatest of their counts.
func (a *alphabet) find(n int) (most uint16) {
	used := 0
	for symbol, count := range a.counts[:n] {
		a.memory[used] = uint16(symbol) //nolint:gosec // it fits
		used += int(min(count, 1))
		most = max(most, count)
	}
	a.used = a.memory[:used]
	return most
}

// size returns how many bits all symbols have in their codes.
func (a *alphabet) size() (bits int) {
	for _, symbol := range a.used {
		bits += int(a.counts[symbol]) * int(a.codes[symbol].length)
	}
	return bits
}

// A huffman makes codes from the counts of symbols. It has memory for that.
type huffman struct {
	sorted [maxLiterals + 2]uint32 // symbols with their counts, the rarest first
	inner  [maxLiterals + 2]uint32 // weights of the inner nodes of the tree
	above  [maxLiterals + 2]uint16 // the inner node above each of them, then its depth
	ends   [256]uint16             // for sort: where the symbols of each count go
}

const symbolBits = 9 // of an entry of huffman.sorted

// build sets the codes of the symbols that occur among the first n, none longer than longest bits.
// A single symbol gets a code of one bit.
func (h *huffman) build(a *alphabet, n, longest int) {
	most := a.find(n)
	h.sort(a, most)
	count := h.countLengths(len(a.used), longest)
	var next [maxCodeLength + 2]uint16
	at := 0
	for length := longest; length > 0; length-- { // the rarest symbols have the longest codes
		for _, s := range h.sorted[at : at+count[length]] {
			a.codes[s&(1<<symbolBits-1)].length = uint8(length) //nolint:gosec // at most 15
		}
		at += count[length]
	}
	for length := 1; length < longest; length++ {
		next[length+1] = (next[length] + uint16(count[length])) << 1 //nolint:gosec // it fits
	}
	for _, symbol := range a.used {
		c := &a.codes[symbol]
		c.bits = reverse(next[c.length&maxCodeLength], c.length)
		next[c.length&maxCodeLength]++
	}
}

// sort sorts the symbols that occur, the rarest first. Symbols of one count stay in order. In short
// messages, no symbol occurs often: then it counts how many symbols have each count.
func (h *huffman) sort(a *alphabet, most uint16) {
	if int(most) >= len(h.ends) {
		for i, symbol := range a.used {
			h.sorted[i] = uint32(a.counts[symbol])<<symbolBits | uint32(symbol)
		}
		slices.Sort(h.sorted[:len(a.used)])
		return
	}
	ends := h.ends[:most+1]
	clear(ends)
	for _, symbol := range a.used {
		ends[a.counts[symbol]]++
	}
	begin := uint16(0)
	for count, symbols := range ends {
		ends[count] = begin
		begin += symbols
	}
	for _, symbol := range a.used {
		count := a.counts[symbol]
		h.sorted[ends[count]] = uint32(count)<<symbolBits | uint32(symbol)
		ends[count]++
	}
}

// reverse returns the bits of a code, the first one lowest.
func reverse(c uint16, length uint8) uint16 { return bits.Reverse16(c) >> (16 - length) }

// countLengths returns how many codes of each length there are, for the first n symbols of sorted.
// Codes are shortened to the longest length.
func (h *huffman) countLengths(n, longest int) (count lengthCount) {
	if n < 2 {
		count[1] = n
		return count
	}
	h.join(n)
	var inner [maxCodeLength + 1]int // nodes of each depth
	root := n - 2
	h.above[root] = 0
	inner[0] = 1
	for i := root - 1; i >= 0; i-- {
		depth := h.above[h.above[i]] + 1
		h.above[i] = depth
		inner[min(depth, maxCodeLength)]++
	}
	left := n
	for depth := 1; depth < longest; depth++ {
		count[depth] = 2*inner[depth-1] - inner[depth]
		left -= count[depth]
	}
	count[longest] = left
	count.shorten(longest)
	return count
}

// join joins the two lightest nodes of a tree again and again, which has the first n symbols of
// sorted as its leaves. Both leaves and inner nodes come in the order of their weights.
func (h *huffman) join(n int) {
	const never = 1<<32 - 1
	leaf, inner := 0, 0
	leaves := h.sorted[:n]
	for i := range n - 1 {
		h.inner[i] = never
		var weight uint32
		for range 2 {
			w, v := h.inner[inner], uint32(never)
			if leaf < len(leaves) {
				v = leaves[leaf] >> symbolBits
			}
			h.above[inner] = uint16(i) //nolint:gosec // it fits
			step := 0
			if v <= w {
				step = 1
			}
			weight += min(v, w)
			leaf += step
			inner += 1 - step
		}
		h.inner[i] = weight
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
