package deflate

import (
	"encoding/binary"
	"math/bits"
)

// A sequence is what stands for a piece of the input: some literals, and the copy behind them.
type sequence struct {
	literals uint16 // bytes
	length   uint16 // of the copy, 3 to 258 bytes; 0: there is none
	distance uint16 // of the copy, 1 to 32,768 bytes
}

func appendLiterals(sequences []sequence, n int) []sequence {
	if n == 0 {
		return sequences
	}
	return append(sequences, sequence{literals: uint16(n)}) //nolint:gosec // at most chunkSize
}

// appendCopy appends sequences for literals, and a copy of any length from minCopy+1 on.
func appendCopy(sequences []sequence, literals, length, distance int) []sequence {
	for ; length > maxCopy; literals = 0 {
		n := min(length-minCopy, maxCopy)
		sequences = append(sequences, sequence{uint16(literals), uint16(n), uint16(distance)}) //nolint:gosec // they fit
		length -= n
	}
	return append(sequences, sequence{uint16(literals), uint16(length), uint16(distance)}) //nolint:gosec // likewise
}

const (
	minCopy = 3
	maxCopy = 258

	// maxLiteralCode is the greatest length in bits of the codes that are made for literals: four of
	// them fit into 64 bits.
	maxLiteralCode = 14

	// maxStored is how many bytes a stored block has at most.
	maxStored = 1<<16 - 1

	// dynamicFrom is the size in bits, in fixed codes, from which codes of its own are tried for a
	// block: they must be sent, too.
	dynamicFrom = 1500
)

var fixedLiterals, fixedDistances = fixedWriterCodes()

// lengthSymbol returns the symbol of a length (RFC 1951, 3.2.5), and the number and the value of its
// extra bits.
func lengthSymbol(length uint16) (symbol, extra uint, value uint64) {
	if length == maxCopy {
		return maxLiterals - 1, 0, 0
	}
	n := uint(length - minCopy)
	extra = uint(max(bits.Len(n), 3) - 3)
	return endOfBlock + 1 + 4*extra + n>>(extra&63), extra, uint64(n & (1<<(extra&63) - 1))
}

// distanceSymbol does the same for a distance.
func distanceSymbol(distance uint16) (symbol, extra uint, value uint64) {
	n := uint(distance - 1)
	extra = uint(max(bits.Len(n), 2) - 2)
	return 2*extra + n>>(extra&63), extra, uint64(n & (1<<(extra&63) - 1))
}

// fixedWriterCodes returns the fixed codes (RFC 1951, 3.2.6).
func fixedWriterCodes() (literals, distances [maxLiterals + 2]code) {
	put := func(from, to int, first uint16, length uint8) {
		for s := from; s < to; s++ {
			literals[s] = code{bits: reverse(first+uint16(s-from), length), length: length} //nolint:gosec // it fits
		}
	}
	put(0, 144, 0x30, 8)
	put(144, 256, 0x190, 9)
	put(256, 280, 0, 7)
	put(280, 288, 0xc0, 8)
	for s := range maxDistances {
		distances[s] = code{bits: reverse(uint16(s), 5), length: 5} //nolint:gosec // it fits
	}
	return literals, distances
}

// A blockWriter writes blocks of compressed data (RFC 1951, 3.2.3) to memory.
type blockWriter struct {
	out  []byte
	bits uint64
	n    uint // number of bits

	literals, distances alphabet
	huffman             huffman
	header              dynamicHeader
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
func (w *blockWriter) block(sequences []sequence, p []byte) {
	fixed, extra := w.measure(sequences, p)
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
		w.coded(sequences, p, dynamic, &w.literals.codes, &w.distances.codes)
	default:
		w.add(0b010, 3)
		w.coded(sequences, p, fixed, &fixedLiterals, &fixedDistances)
	}
}

// measure counts the symbols of a block. It returns how many bits the block has with the fixed
// codes, and how many of these are extra bits.
func (w *blockWriter) measure(sequences []sequence, p []byte) (fixed, extra int) {
	clear(w.literals.counts[:])
	clear(w.distances.counts[:maxDistances])
	for _, s := range sequences {
		for _, b := range p[:s.literals] {
			w.literals.counts[b]++
			fixed += int(fixedLiterals[b].length)
		}
		p = p[s.literals+s.length:]
		if s.length > 0 {
			symbol, bits, _ := lengthSymbol(s.length)
			w.literals.counts[symbol]++
			fixed += int(fixedLiterals[symbol].length)
			extra += int(bits) //nolint:gosec // small
			symbol, bits, _ = distanceSymbol(s.distance)
			w.distances.counts[symbol]++
			fixed += 5
			extra += int(bits) //nolint:gosec // small
		}
	}
	w.literals.counts[endOfBlock] = 1
	fixed += 3 + int(fixedLiterals[endOfBlock].length)
	return fixed + extra, extra
}

// makeCodes makes codes for the block that was measured. It returns how many bits the block has
// with them, without extra bits.
func (w *blockWriter) makeCodes() (bits int) {
	w.huffman.build(&w.literals, maxLiterals, maxLiteralCode)
	w.huffman.build(&w.distances, maxDistances, maxCodeLength)
	if len(w.distances.used) == 0 { // some decoders want a code
		w.distances.counts[0] = 1
		w.huffman.build(&w.distances, 1, maxCodeLength)
	}
	return 3 + w.header.make(w) + w.literals.size() + w.distances.size()
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

// coded writes the sequences of a block of about so many bits.
func (w *blockWriter) coded(sequences []sequence, p []byte, size int, literals, distances *[maxLiterals + 2]code) {
	at := len(w.out)
	w.out = grow(w.out, size/8+16)
	out, bits, n := w.out[:cap(w.out)], w.bits, w.n
	for _, s := range sequences {
		run := p[:s.literals]
		p = p[s.literals+s.length:]
		for ; len(run) >= 4; run = run[4:] { // at most 4*maxLiteralCode bits
			a, b, c, d := literals[run[0]], literals[run[1]], literals[run[2]], literals[run[3]]
			bits |= uint64(a.bits) << (n & 63)
			n += uint(a.length)
			bits |= uint64(b.bits) << (n & 63)
			n += uint(b.length)
			bits |= uint64(c.bits) << (n & 63)
			n += uint(c.length)
			bits |= uint64(d.bits) << (n & 63)
			n += uint(d.length)
			binary.LittleEndian.PutUint64(out[at:], bits)
			at += int(n >> 3) //nolint:gosec // it is small
			bits >>= n &^ 7
			n &= 7
		}
		for _, b := range run {
			c := literals[b]
			bits |= uint64(c.bits) << (n & 63)
			n += uint(c.length)
		}
		binary.LittleEndian.PutUint64(out[at:], bits)
		at += int(n >> 3) //nolint:gosec // it is small
		bits >>= n &^ 7
		n &= 7
		if s.length == 0 {
			continue
		}
		symbol, extra, value := lengthSymbol(s.length)
		c := literals[symbol]
		bits |= uint64(c.bits) << (n & 63)
		n += uint(c.length)
		bits |= value << (n & 63)
		n += extra
		symbol, extra, value = distanceSymbol(s.distance)
		c = distances[symbol]
		bits |= uint64(c.bits) << (n & 63)
		n += uint(c.length)
		bits |= value << (n & 63)
		n += extra
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
