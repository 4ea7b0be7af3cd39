package deflate

import (
	"math/bits"
	"sync"
)

const (
	maxCodeLength = 15 // bits (RFC 1951, 3.2.7)
	maxLiterals   = 286
	maxDistances  = 30
	endOfBlock    = 256

	literalBits  = 10 // that the first look into the table of literals and lengths takes
	distanceBits = 8

	// What the tables have at most, with those that longer codes are continued in.
	literalEntries  = 1334
	distanceEntries = 402
)

// An entry of a table of codes is what the bits stand for that it was found by: from its
// lowest bit on the length of the code (4 bits), the kind (2), two bits that are not used,
// how many bits follow (8), and the value (16). Zero is for bits that are no code.
type entry = uint32

const (
	entryLength = 0xf  // mask
	entryKind   = 0x30 // mask

	kindLiteral = 0x00
	kindLength  = 0x10 // or a distance
	kindEnd     = 0x20
	kindLong    = 0x30 // the code goes on, in the table that begins at the value
)

// codes are the tables of a block, and what is needed to make them, which would be much
// for the stack of a connection.
type codes struct {
	literals  [literalEntries]entry
	distances [distanceEntries]entry
	lengths   [1 << lengthBits]entry  // in which the lengths of the others are written
	sorted    [maxLiterals + 2]uint16 // symbols by the length of their codes
}

// literal is what the next bits stand for.
func (c *codes) literal(bits uint64) entry {
	e := c.literals[bits&(1<<literalBits-1)]
	if e&entryKind == kindLong {
		e = c.literals[e>>16+uint32(bits>>literalBits)&(1<<(e>>8&0xff)-1)] //nolint:gosec // the lowest are enough
	}
	return e
}

// distance is the same behind a length.
func (c *codes) distance(bits uint64) entry {
	e := c.distances[bits&(1<<distanceBits-1)]
	if e&entryKind == kindLong {
		e = c.distances[e>>16+uint32(bits>>distanceBits)&(1<<(e>>8&0xff)-1)] //nolint:gosec // likewise
	}
	return e
}

var codesPool = sync.Pool{New: func() any { return new(codes) }}

// Entries of the symbols, without a code.
var (
	literalSymbols  = makeLiteralSymbols()
	distanceSymbols = makeDistanceSymbols()
	orderOfLengths  = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} // RFC 1951, 3.2.7
)

// makeLiteralSymbols follows RFC 1951, 3.2.5. The two last ones are never used.
func makeLiteralSymbols() (symbols [maxLiterals + 2]entry) {
	for i := range endOfBlock {
		symbols[i] = kindLiteral | entry(i)<<16 //nolint:gosec // a byte
	}
	symbols[endOfBlock] = kindEnd
	base := entry(3)
	for i := range entry(28) {
		extra := max(i/4, 1) - 1
		symbols[endOfBlock+1+i] = kindLength | extra<<8 | base<<16
		base += 1 << extra
	}
	symbols[maxLiterals-1] = kindLength | 258<<16
	return symbols
}

// makeDistanceSymbols is the same of distances.
func makeDistanceSymbols() (symbols [maxDistances + 2]entry) {
	base := entry(1)
	for i := range entry(maxDistances) {
		extra := max(i/2, 1) - 1
		symbols[i] = kindLength | extra<<8 | base<<16
		base += 1 << extra
	}
	return symbols
}

// fixedCodes are those of RFC 1951, 3.2.6.
var fixedCodes = sync.OnceValue(func() *codes {
	var lengths [maxLiterals + 2 + maxDistances + 2]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		case i < 288:
			lengths[i] = 8
		default:
			lengths[i] = 5
		}
	}
	c := new(codes)
	c.build(lengths[:288], lengths[288:])
	return c
})

// build makes the tables of codes with these lengths in bits, and reports whether they are
// any.
func (c *codes) build(literals, distances []uint8) bool {
	return c.buildTable(c.literals[:], literalBits, literals, literalSymbols[:]) &&
		c.buildTable(c.distances[:], distanceBits, distances, distanceSymbols[:])
}

// A lengthCount is how many codes there are of each length.
type lengthCount [maxCodeLength + 1]int

// buildTable makes a table that is looked into with so many bits first. As with zlib, a
// code must be complete, a single one of one bit, or none, which fails when it is used.
func (c *codes) buildTable(table []entry, tableBits int, lengths []uint8, symbols []entry) bool {
	var count lengthCount
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	if room := count.room(); room != 0 {
		if room != 1<<maxCodeLength && (room != 1<<(maxCodeLength-1) || count[1] != 1) {
			return false
		}
		clear(table[:1<<tableBits])
	}
	return fillTable(table, tableBits, &count, sortSymbols(c.sorted[:0], lengths, &count), symbols)
}

// room is how many codes of the greatest length there could be besides; less than zero
// where there are too many as it is.
func (c *lengthCount) room() int {
	room := 1 << maxCodeLength
	for n := 1; n <= maxCodeLength; n++ {
		room -= c[n] << (maxCodeLength - n)
	}
	return room
}

// sortSymbols returns the symbols that have a code, by its length.
func sortSymbols(sorted []uint16, lengths []uint8, count *lengthCount) []uint16 {
	var at lengthCount
	for n := 1; n < maxCodeLength; n++ {
		at[n+1] = at[n] + count[n]
	}
	sorted = sorted[:at[maxCodeLength]+count[maxCodeLength]]
	for symbol, n := range lengths {
		if n > 0 {
			sorted[at[n]] = uint16(symbol) //nolint:gosec // it fits
			at[n]++
		}
	}
	return sorted
}

// fillTable gives the symbols their codes: those of one length one after the other, and
// then the longer ones, and counts them down. Where a code is too long for the first look,
// its first bits lead to a table behind.
func fillTable(table []entry, tableBits int, count *lengthCount, sorted []uint16, symbols []entry) bool {
	code, n := 0, 1
	prefix, begin, size := -1, 1<<tableBits, 0 // of the table behind that is filled
	for _, s := range sorted {
		for count[n] == 0 {
			n++
			code <<= 1
		}
		reversed := int(bits.Reverse16(uint16(code)) >> (16 - n)) //nolint:gosec // it fits
		symbol := symbols[s]
		if symbol != 0 || s == 0 {
			symbol |= entry(n) //nolint:gosec // at most 15
		}
		if n <= tableBits {
			for ; reversed < 1<<tableBits; reversed += 1 << n {
				table[reversed] = symbol
			}
		} else {
			if first := reversed & (1<<tableBits - 1); first != prefix {
				behind := bitsBehind(count, n, tableBits)
				prefix, begin, size = first, begin+size, 1<<behind
				if begin+size > len(table) {
					return false
				}
				table[prefix] = kindLong | entry(behind)<<8 | entry(begin)<<16 //nolint:gosec // it fits
			}
			for at := reversed >> tableBits; at < size; at += 1 << (n - tableBits) {
				table[begin+at] = symbol
			}
		}
		count[n]--
		code++
	}
	return true
}

// bitsBehind is how many bits are looked at behind those that the codes of a table have
// in common, the first of which has length n. The counts are of codes that are left.
func bitsBehind(count *lengthCount, n, tableBits int) int {
	room := 1 << (n - tableBits)
	for ; n < maxCodeLength; n++ {
		if room -= count[n]; room <= 0 {
			break
		}
		room <<= 1
	}
	return n - tableBits
}
