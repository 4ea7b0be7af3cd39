package deflate

import "github.com/goyave-contrib/websocket/internal/wire"

// A bitReader takes bits from the input, the lowest of a byte first.
type bitReader struct {
	bits  uint64
	nbits uint
	src   []byte
	used  int
}

// has reports whether there are n bits, at most 32. Behind nbits, bits may have more of the input.
func (r *bitReader) has(n uint) bool {
	if r.nbits >= n {
		return true
	}
	if r.used+8 <= len(r.src) {
		r.bits |= load64(r.src, r.used) << r.nbits
		r.used += int(63-r.nbits) >> 3 //nolint:gosec // less than 8
		r.nbits |= 56
		return true
	}
	r.bits &= 1<<r.nbits - 1
	for ; r.nbits < 56 && r.used < len(r.src); r.used++ {
		r.bits |= uint64(r.src[r.used]) << r.nbits
		r.nbits += 8
	}
	return r.nbits >= n
}

// take takes n bits, for which has has reported true.
func (r *bitReader) take(n uint) int {
	bits := int(r.bits & (1<<n - 1)) //nolint:gosec // at most 32
	r.bits >>= n
	r.nbits -= n
	return bits
}

// beginBlock reads the header of a block (RFC 1951, 3.2.3). It uses nothing until all of the header
// has arrived, which has some 300 bytes at most.
func (f *inflater) beginBlock(src []byte) (used int, begun bool, err error) {
	r := bitReader{bits: f.bits, nbits: f.nbits, src: src}
	if !r.has(3) {
		return 0, false, nil
	}
	final, kind := r.take(1) == 1, r.take(2)
	stage := inCoded
	switch kind {
	case 0:
		stage = inStored
		begun, err = f.beginStored(&r)
	case 1:
		begun = true
	case 2:
		begun, err = f.readLengths(&r)
	default:
		err = wire.ErrCorrupt
	}
	if !begun || err != nil {
		return 0, false, err
	}
	f.bits, f.nbits = r.bits&(1<<r.nbits-1), r.nbits
	f.final, f.stage, f.fixed, f.codes = final, stage, kind == 1, nil
	switch {
	case stage == inStored && f.stored == 0:
		f.endBlock()
	case kind == 2 && !f.buildCodes():
		return 0, false, wire.ErrCorrupt
	}
	return r.used, true, nil
}

// beginStored reads the length of a stored block (RFC 1951, 3.2.4).
func (f *inflater) beginStored(r *bitReader) (begun bool, err error) {
	r.take(r.nbits % 8)
	if !r.has(32) {
		return false, nil
	}
	length, inverted := r.take(16), r.take(16)
	if length != inverted^0xffff {
		return false, wire.ErrCorrupt
	}
	f.stored = length
	return true, nil
}

const (
	codesOfLengths = 19 // the codes that the lengths of the others are written in
	lengthBits     = 7  // the greatest length of such a code
)

// Symbols that stand for several lengths (RFC 1951, 3.2.7).
const (
	repeatLast = 16 + iota
	fewZeros
	manyZeros
)

var lengthSymbols = func() (symbols [codesOfLengths]entry) {
	for i := range symbols {
		symbols[i] = kindLength | entry(i)<<16 //nolint:gosec // it fits
	}
	return symbols
}()

// readLengths reads the lengths of the block's codes (RFC 1951, 3.2.7).
func (f *inflater) readLengths(r *bitReader) (read bool, err error) {
	if !r.has(14) {
		return false, nil
	}
	literals, distances, n := r.take(5)+257, r.take(5)+1, r.take(4)+4
	if literals > maxLiterals || distances > maxDistances {
		return false, wire.ErrCorrupt
	}
	f.ensureOwn()
	table := f.own.lengths[:]
	var lengths [codesOfLengths]uint8
	for _, at := range orderOfLengths[:n] {
		if !r.has(3) {
			return false, nil
		}
		lengths[at] = uint8(r.take(3)) //nolint:gosec // it fits
	}
	if !f.own.buildTable(table, lengthBits, lengths[:], lengthSymbols[:]) {
		return false, wire.ErrCorrupt
	}
	f.literals, f.distances = literals, distances
	for n := 0; n < literals+distances; {
		r.has(lengthBits + 7) // or fewer, at the end of the input
		e := table[r.bits&(1<<lengthBits-1)]
		length := uint(e & entryLength)
		symbol := int(e >> 16)
		bits, least := repetitions(symbol)
		switch {
		case length+bits > r.nbits && length > 0:
			return false, nil
		case length == 0:
			return false, wire.ErrCorrupt
		}
		r.take(length)
		value, times := uint8(symbol), 1 //nolint:gosec // it fits
		if symbol >= repeatLast {
			value, times = 0, least+r.take(bits)
			if symbol == repeatLast {
				if n == 0 {
					return false, wire.ErrCorrupt
				}
				value = f.lengths[n-1]
			}
		}
		if times > literals+distances-n {
			return false, wire.ErrCorrupt
		}
		for ; times > 0; times-- {
			f.lengths[n] = value
			n++
		}
	}
	return true, nil
}

// repetitions returns how many lengths a symbol stands for: least, and as many more as the number
// says that follows in so many bits.
func repetitions(symbol int) (bits uint, least int) {
	switch symbol {
	case repeatLast:
		return 2, 3
	case fewZeros:
		return 3, 3
	case manyZeros:
		return 7, 11
	default:
		return 0, 1
	}
}
