package deflate

// A dynamicHeader is the codes of a block as they are written (RFC 1951, 3.2.7).
type dynamicHeader struct {
	literals, distances, lengths int // numbers of codes

	alphabet alphabet // of what stands for the lengths of codes
	symbols  []uint16 // of the alphabet, each with the value of its extra bits above
	memory   [maxLiterals + maxDistances]uint16
	extra    int // bits
	last     uint8
	times    int // that last was seen, and is not in symbols yet
}

// make prepares the header of the codes of w, and returns its size in bits.
func (h *dynamicHeader) make(w *blockWriter) (bits int) {
	clear(h.alphabet.counts[:codesOfLengths])
	h.symbols, h.extra = h.memory[:0], 0
	h.literals = h.lengthsOf(&w.literals)
	h.distances = h.lengthsOf(&w.distances)
	h.repeat()
	clear(h.alphabet.codes[:codesOfLengths])
	w.huffman.build(&h.alphabet, codesOfLengths, lengthBits)
	h.lengths = codesOfLengths
	for h.lengths > 4 && h.alphabet.codes[orderOfLengths[h.lengths-1]].length == 0 {
		h.lengths--
	}
	return 14 + 3*h.lengths + h.extra + h.alphabet.size()
}

// lengthsOf adds the lengths of an alphabet's codes, and returns their number.
func (h *dynamicHeader) lengthsOf(a *alphabet) (n int) {
	for _, symbol := range a.used {
		if unused := int(symbol) - n; unused > 0 {
			h.repeat()
			h.last, h.times = 0, unused
		}
		n = int(symbol) + 1
		if length := a.codes[symbol].length; length != h.last {
			h.repeat()
			h.last = length
		}
		h.times++
	}
	return n
}

// repeat adds the last length as often as it was seen.
func (h *dynamicHeader) repeat() {
	times := h.times
	h.times = 0
	if h.last > 0 && times > 0 {
		h.add(int(h.last), 0)
		times--
	}
	for times > 0 {
		symbol, most := repeatLast, 6
		switch {
		case times < 3:
			h.add(int(h.last), 0)
			times--
			continue
		case h.last == 0 && times <= 10:
			symbol, most = fewZeros, 10
		case h.last == 0:
			symbol, most = manyZeros, 138
		}
		bits, least := repetitions(symbol)
		n := min(times, most)
		h.add(symbol, n-least)
		h.extra += int(bits) //nolint:gosec // small
		times -= n
	}
}

func (h *dynamicHeader) add(symbol, value int) {
	h.alphabet.counts[symbol]++
	h.symbols = append(h.symbols, uint16(symbol|value<<8)) //nolint:gosec // it fits
}

// write writes the header that make has prepared.
func (h *dynamicHeader) write(w *blockWriter) {
	w.add(uint64(h.literals-257), 5) //nolint:gosec // not negative
	w.add(uint64(h.distances-1), 5)  //nolint:gosec // likewise
	w.add(uint64(h.lengths-4), 4)    //nolint:gosec // likewise
	for _, at := range orderOfLengths[:h.lengths] {
		w.add(uint64(h.alphabet.codes[at].length), 3)
	}
	for _, s := range h.symbols {
		c := h.alphabet.codes[s&0xff]
		extra, _ := repetitions(int(s & 0xff))
		w.add(uint64(c.bits)|uint64(s>>8)<<c.length, uint(c.length)+extra)
	}
}
