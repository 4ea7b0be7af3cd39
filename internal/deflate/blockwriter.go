package deflate

import "encoding/binary"

// A token is what stands for a piece of the input: a literal, as its value, or a copy.
type token uint32

// copyToken returns the token of a copy of 3 to 258 bytes, from a distance of 1 to 32,768.
func copyToken(length, distance int) token {
	return 1<<31 | token(length-minCopy)<<16 | token(distance-1) //nolint:gosec // it fits
}

func (t token) isCopy() bool { return t>>31 != 0 }

const (
	minCopy = 3
	maxCopy = 258

	// maxStored is how many bytes a stored block has at most.
	maxStored = 1<<16 - 1

	// dynamicFrom is the size in bits, in fixed codes, from which codes of its own are tried for a
	// block: they must be sent, too.
	dynamicFrom = 1500
)

// The codes of lengths and distances, without their extra bits (RFC 1951, 3.2.5).
var (
	lengthCodes   [256]uint8 // by length - minCopy
	nearDistances [256]uint8 // by distance - 1
	farDistances  [256]uint8 // by (distance - 1) >> 7

	fixedLiterals, fixedDistances = fixedWriterCodes()
)

// symbolBase returns the least value that a length or distance stands for, and its extra bits.
func symbolBase(e entry) (base, extra int) { return int(e >> 16), int(e >> 8 & 0xff) }

func init() {
	for i := range 29 {
		base, extra := symbolBase(literalSymbols[endOfBlock+1+i])
		for n := base; n < base+1<<extra && n <= maxCopy; n++ {
			lengthCodes[n-minCopy] = uint8(i) //nolint:gosec // it fits
		}
	}
	for i := range maxDistances {
		base, extra := symbolBase(distanceSymbols[i])
		for d := base - 1; d < base-1+1<<extra; d++ {
			if d < 256 {
				nearDistances[d] = uint8(i) //nolint:gosec // it fits
			}
			farDistances[d>>7] = uint8(i) //nolint:gosec // it fits
		}
	}
}

// distanceCode returns the code of a distance - 1.
func distanceCode(d uint32) uint8 {
	if d < 256 {
		return nearDistances[d]
	}
	return farDistances[d>>7]
}

// fixedWriterCodes returns the fixed codes (RFC 1951, 3.2.6).
func fixedWriterCodes() (literals [maxLiterals + 2]code, distances [maxDistances]code) {
	put := func(from, to int, first uint16, length uint8) {
		for s := from; s < to; s++ {
			literals[s] = code{bits: reverse(first+uint16(s-from), length), length: length} //nolint:gosec // it fits
		}
	}
	put(0, 144, 0x30, 8)
	put(144, 256, 0x190, 9)
	put(256, 280, 0, 7)
	put(280, 288, 0xc0, 8)
	for s := range distances {
		distances[s] = code{bits: reverse(uint16(s), 5), length: 5} //nolint:gosec // it fits
	}
	return literals, distances
}

// A blockWriter writes blocks of compressed data (RFC 1951, 3.2.3) to memory.
type blockWriter struct {
	out  []byte
	bits uint64
	n    uint // number of bits

	literalCount  [maxLiterals + 2]uint16
	distanceCount [maxDistances]uint16
	literals      [maxLiterals + 2]code
	distances     [maxDistances]code
	huffman       huffman
	header        dynamicHeader
}

// add writes n bits, at most 32.
func (w *blockWriter) add(v uint64, n uint) {
	w.bits |= v << w.n
	w.n += n
	for ; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
	}
}

// align writes zeros up to the next byte.
func (w *blockWriter) align() { w.add(0, -w.n&7) }

// flush ends the output at a byte, with the empty block whose rest is Tail.
func (w *blockWriter) flush() {
	w.add(0, 3)
	w.align()
}

// block writes a block that stands for p, which is not empty, in the shortest way.
func (w *blockWriter) block(tokens []token, p []byte) {
	fixed, extra := w.measure(tokens)
	stored := 8 * (len(p) + 5*(1+len(p)/maxStored))
	dynamic := fixed
	if fixed >= dynamicFrom {
		dynamic = w.makeCodes() + extra
	}
	switch {
	case stored <= min(fixed, dynamic):
		w.stored(p)
	case dynamic < fixed:
		w.add(0b100, 3)
		w.header.write(w)
		w.coded(tokens, dynamic, &w.literals, &w.distances)
	default:
		w.add(0b010, 3)
		w.coded(tokens, fixed, &fixedLiterals, &fixedDistances)
	}
}

// measure counts the symbols of a block. It returns how many bits the block has with the fixed
// codes, and how many of these are extra bits.
func (w *blockWriter) measure(tokens []token) (fixed, extra int) {
	clear(w.literalCount[:])
	clear(w.distanceCount[:])
	for _, t := range tokens {
		if !t.isCopy() {
			w.literalCount[t&0xff]++
			continue
		}
		w.literalCount[endOfBlock+1+int(lengthCodes[t>>16&0xff])]++
		w.distanceCount[distanceCode(uint32(t)&(windowSize-1))]++
	}
	w.literalCount[endOfBlock] = 1
	fixed = 3
	for s, n := range w.literalCount[:maxLiterals] {
		fixed += int(n) * int(fixedLiterals[s].length)
		if s > endOfBlock {
			_, bits := symbolBase(literalSymbols[s])
			extra += int(n) * bits
		}
	}
	for s, n := range w.distanceCount {
		_, bits := symbolBase(distanceSymbols[s])
		fixed += 5 * int(n)
		extra += int(n) * bits
	}
	return fixed + extra, extra
}

// makeCodes makes codes for the block that was measured. It returns how many bits the block has
// with them, without extra bits.
func (w *blockWriter) makeCodes() (bits int) {
	w.huffman.build(w.literals[:], w.literalCount[:], maxCodeLength)
	if !anyOf(w.distanceCount[:]) {
		w.distanceCount[0] = 1 // some decoders want a code
	}
	w.huffman.build(w.distances[:], w.distanceCount[:], maxCodeLength)
	bits = 3 + w.header.make(w)
	for s, n := range w.literalCount[:maxLiterals] {
		bits += int(n) * int(w.literals[s].length)
	}
	for s, n := range w.distanceCount {
		bits += int(n) * int(w.distances[s].length)
	}
	return bits
}

func anyOf(counts []uint16) bool {
	for _, n := range counts {
		if n > 0 {
			return true
		}
	}
	return false
}

// stored writes p in stored blocks (RFC 1951, 3.2.4).
func (w *blockWriter) stored(p []byte) {
	for len(p) > 0 {
		n := min(len(p), maxStored)
		w.add(0, 3)
		w.align()
		w.add(uint64(n)|uint64(n^maxStored)<<16, 32)
		w.out = append(w.out, p[:n]...)
		p = p[n:]
	}
}

// coded writes the tokens of a block of about so many bits.
func (w *blockWriter) coded(tokens []token, size int, literals *[maxLiterals + 2]code, distances *[maxDistances]code) {
	at := len(w.out)
	w.out = grow(w.out, size/8+16)
	out, bits, n := w.out[:cap(w.out)], w.bits, w.n
	for _, t := range tokens { // at most 48 bits each
		if !t.isCopy() {
			c := literals[t&0xff]
			bits |= uint64(c.bits) << n
			n += uint(c.length)
		} else {
			length, distance := int(t>>16&0xff), uint32(t)&(windowSize-1)
			s := int(lengthCodes[length])
			c := literals[endOfBlock+1+s]
			bits |= uint64(c.bits) << n
			n += uint(c.length)
			base, extra := symbolBase(literalSymbols[endOfBlock+1+s])
			bits |= uint64(length+minCopy-base) << n //nolint:gosec // not negative
			n += uint(extra)                         //nolint:gosec // likewise
			s = int(distanceCode(distance))
			c = distances[s]
			bits |= uint64(c.bits) << n
			n += uint(c.length)
			base, extra = symbolBase(distanceSymbols[s])
			bits |= uint64(int(distance)+1-base) << n //nolint:gosec // likewise
			n += uint(extra)                          //nolint:gosec // likewise
		}
		binary.LittleEndian.PutUint64(out[at:], bits)
		at += int(n >> 3) //nolint:gosec // it is small
		bits >>= n &^ 7
		n &= 7
	}
	w.out, w.bits, w.n = out[:at], bits, n
	end := literals[endOfBlock]
	w.add(uint64(end.bits), uint(end.length))
}

// grow returns p with room for n more bytes.
func grow(p []byte, n int) []byte {
	if cap(p)-len(p) >= n {
		return p
	}
	larger := make([]byte, len(p), max(len(p)+n, 2*cap(p)))
	copy(larger, p)
	return larger
}

// A dynamicHeader is the codes of a block as they are written (RFC 1951, 3.2.7).
type dynamicHeader struct {
	literals, distances, lengths int // numbers of codes

	symbols []uint16 // what stands for the lengths: a symbol, and its extra bits above
	memory  [maxLiterals + 2 + maxDistances]uint16
	count   [codesOfLengths]uint16
	codes   [codesOfLengths]code
}

// make prepares the header of the codes of w, and returns its size in bits.
func (h *dynamicHeader) make(w *blockWriter) (bits int) {
	h.literals, h.distances = maxLiterals, maxDistances
	for h.literals > endOfBlock+1 && w.literals[h.literals-1].length == 0 {
		h.literals--
	}
	for h.distances > 1 && w.distances[h.distances-1].length == 0 {
		h.distances--
	}
	h.symbols, h.count = h.memory[:0], [codesOfLengths]uint16{}
	last, times := uint8(255), 0
	for i := range h.literals + h.distances {
		var length uint8
		if i < h.literals {
			length = w.literals[i].length
		} else {
			length = w.distances[i-h.literals].length
		}
		if length != last && times > 0 {
			h.repeat(last, times)
			times = 0
		}
		last = length
		times++
	}
	h.repeat(last, times)
	w.huffman.build(h.codes[:], h.count[:], lengthBits)
	h.lengths = codesOfLengths
	for h.lengths > 4 && h.codes[orderOfLengths[h.lengths-1]].length == 0 {
		h.lengths--
	}
	bits = 14 + 3*h.lengths
	for s, n := range h.count {
		extra, _ := repetitions(s)
		bits += int(n) * (int(h.codes[s].length) + int(extra)) //nolint:gosec // small
	}
	return bits
}

// repeat adds the same length several times.
func (h *dynamicHeader) repeat(length uint8, times int) {
	if length > 0 {
		h.add(int(length), 0)
		times--
	}
	for times > 0 {
		symbol, most := repeatLast, 6
		switch {
		case times < 3:
			h.add(int(length), 0)
			times--
			continue
		case length == 0 && times <= 10:
			symbol, most = fewZeros, 10
		case length == 0:
			symbol, most = manyZeros, 138
		}
		_, least := repetitions(symbol)
		n := min(times, most)
		h.add(symbol, n-least)
		times -= n
	}
}

func (h *dynamicHeader) add(symbol, extra int) {
	h.count[symbol]++
	h.symbols = append(h.symbols, uint16(symbol|extra<<8)) //nolint:gosec // it fits
}

// write writes the header that make has prepared.
func (h *dynamicHeader) write(w *blockWriter) {
	w.add(uint64(h.literals-257), 5) //nolint:gosec // not negative
	w.add(uint64(h.distances-1), 5)  //nolint:gosec // likewise
	w.add(uint64(h.lengths-4), 4)    //nolint:gosec // likewise
	for _, at := range orderOfLengths[:h.lengths] {
		w.add(uint64(h.codes[at].length), 3)
	}
	for _, s := range h.symbols {
		c := h.codes[s&0xff]
		extra, _ := repetitions(int(s & 0xff))
		w.add(uint64(c.bits)|uint64(s>>8)<<c.length, uint(c.length)+extra)
	}
}
