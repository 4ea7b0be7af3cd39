package deflate

import "sync"

const (
	maxCodeLength = 15 // bits (RFC 1951, 3.2.7)
	maxLiterals   = 286
	maxDistances  = 30
	endOfBlock    = 256

	// Codes up to these lengths in bits are found in the first table. A longer code is found in a
	// second one, by the rest of its bits.
	literalBits  = 10
	distanceBits = 8

	// The greatest numbers of entries of a first table with its second ones.
	literalEntries  = 1334
	distanceEntries = 402
)

// An entry of a table is what the bits stand for by which it was found. It has, from its lowest bit
// on: the length of the code (4 bits), the kind (3), an unused bit, the number of extra bits (8), and
// the value (16). Zero means that the bits are no code.
type entry = uint32

const (
	entryLength = 0xf  // mask
	entryKind   = 0x70 // mask

	kindLength  = 0x10 // or a distance
	kindEnd     = 0x20
	kindLong    = 0x30 // the code is longer: the value is the index of the second table
	kindLiteral = 0x40 // the only kind with this bit
)

// codes has the tables of a block, and the memory to build them, which would be much for the stack
// of a goroutine.
type codes struct {
	literals  [literalEntries]entry
	distances [distanceEntries]entry
	lengths   [1 << lengthBits]entry  // for the lengths of the codes of a block
	used      [maxLiterals + 2]uint16 // symbols that have a code
	sorted    [maxLiterals + 2]uint16 // the same by the length of their codes
}

// literal returns the entry of the next code, a literal or a length.
func (c *codes) literal(bits uint64) entry {
	e := c.literals[bits&(1<<literalBits-1)]
	if e&entryKind == kindLong {
		e = c.literals[e>>16+uint32(bits>>literalBits)&(1<<(e>>8&0xff)-1)] //nolint:gosec // the lowest bits are enough
	}
	return e
}

// distance returns the entry of the code after a length.
func (c *codes) distance(bits uint64) entry {
	e := c.distances[bits&(1<<distanceBits-1)]
	if e&entryKind == kindLong {
		e = c.distances[e>>16+uint32(bits>>distanceBits)&(1<<(e>>8&0xff)-1)] //nolint:gosec // the lowest bits are enough
	}
	return e
}

var codesPool = sync.Pool{New: func() any { return new(codes) }}

// Entries of the symbols, without the lengths of their codes.
var (
	literalSymbols  = makeLiteralSymbols()
	distanceSymbols = makeDistanceSymbols()
	orderOfLengths  = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} // RFC 1951, 3.2.7
)

// makeLiteralSymbols returns the literals and lengths of RFC 1951, 3.2.5. The last two are never
// used.
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

// makeDistanceSymbols returns the distances of RFC 1951, 3.2.5. The last two are never used.
func makeDistanceSymbols() (symbols [maxDistances + 2]entry) {
	base := entry(1)
	for i := range entry(maxDistances) {
		extra := max(i/2, 1) - 1
		symbols[i] = kindLength | extra<<8 | base<<16
		base += 1 << extra
	}
	return symbols
}

// fixedCodes returns the tables of the fixed codes (RFC 1951, 3.2.6).
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

// build builds the tables of codes of these lengths in bits, and reports whether there are such
// codes.
func (c *codes) build(literals, distances []uint8) bool {
	return c.buildTable(c.literals[:], literalBits, literals, literalSymbols[:]) &&
		c.buildTable(c.distances[:], distanceBits, distances, distanceSymbols[:])
}

// A lengthCount has the number of codes of each length.
type lengthCount [maxCodeLength + 1]int

// buildTable builds a table that is indexed by tableBits bits first. As in zlib, the codes must be
// complete, or a single code of one bit, or none at all, which is an error only when one is used.
func (c *codes) buildTable(table []entry, tableBits int, lengths []uint8, symbols []entry) bool {
	used := c.find(lengths)
	var count lengthCount
	for _, symbol := range used {
		count[lengths[symbol]&maxCodeLength]++
	}
	if room := count.room(); room != 0 {
		if room != 1<<maxCodeLength && (room != 1<<(maxCodeLength-1) || count[1] != 1) {
			return false
		}
		clear(table[:1<<tableBits])
	}
	return fillTable(table, tableBits, &count, c.sort(used, lengths, &count), symbols)
}

// find returns the symbols that have a code.
func (c *codes) find(lengths []uint8) []uint16 {
	n := 0
	for symbol, length := range lengths {
		c.used[n] = uint16(symbol) //nolint:gosec // it fits
		n += int(min(length, 1))
	}
	return c.used[:n]
}

// room returns how many codes of the greatest length could be added. It is negative if there are
// too many codes.
func (c *lengthCount) room() int {
	room := 1 << maxCodeLength
	for n := 1; n <= maxCodeLength; n++ {
		room -= c[n] << (maxCodeLength - n)
	}
	return room
}

// sort returns the symbols sorted by the length of their codes.
func (c *codes) sort(used []uint16, lengths []uint8, count *lengthCount) []uint16 {
	var at lengthCount
	for n := 1; n < maxCodeLength; n++ {
		at[n+1] = at[n] + count[n]
	}
	for _, symbol := range used {
		n := lengths[symbol] & maxCodeLength
		c.sorted[at[n]] = symbol
		at[n]++
	}
	return c.sorted[:len(used)]
}

// fillTable gives the symbols their codes, in the order of sorted. A table of codes of n bits, twice,
// is one of codes of n+1 bits.
func fillTable(table []entry, tableBits int, count *lengthCount, sorted []uint16, symbols []entry) bool {
	code := uint16(0)
	for n := 1; n <= tableBits; n++ {
		for _, s := range sorted[:count[n]] {
			table[reverse(code, uint8(n))] = withLength(symbols[s], n) //nolint:gosec // at most 10
			code++
		}
		sorted = sorted[count[n]:]
		code <<= 1
		if n < tableBits {
			copy(table[1<<n:], table[:1<<n])
		}
	}
	return len(sorted) == 0 || fillSecondTables(table, tableBits, int(code), count, sorted, symbols)
}

// withLength returns the entry of a symbol whose code has length n.
func withLength(symbol entry, n int) entry {
	if symbol == 0 {
		return 0
	}
	return symbol | entry(n) //nolint:gosec // at most 15
}

// fillSecondTables gives the symbols their codes, from the given one on, which are longer than
// tableBits, and counts them down. The first bits of each lead to a second table, behind the first one.
func fillSecondTables(table []entry, tableBits, code int, count *lengthCount, sorted []uint16, symbols []entry) bool {
	n := tableBits + 1
	prefix, begin, size := -1, 1<<tableBits, 0 // of the second table that is being filled
	for _, s := range sorted {
		for count[n] == 0 {
			n++
			code <<= 1
		}
		reversed := int(reverse(uint16(code), uint8(n))) //nolint:gosec // they fit
		if first := reversed & (1<<tableBits - 1); first != prefix {
			rest := secondBits(count, n, tableBits)
			prefix, begin, size = first, begin+size, 1<<rest
			if begin+size > len(table) {
				return false
			}
			table[prefix] = kindLong | entry(rest)<<8 | entry(begin)<<16 //nolint:gosec // it fits
		}
		for at := reversed >> tableBits; at < size; at += 1 << (n - tableBits) {
			table[begin+at] = withLength(symbols[s], n)
		}
		count[n]--
		code++
	}
	return true
}

// secondBits returns the number of bits that index a second table, whose codes have their first
// tableBits bits in common. The shortest of them has length n; count has the codes that are left.
func secondBits(count *lengthCount, n, tableBits int) int {
	room := 1 << (n - tableBits)
	for ; n < maxCodeLength; n++ {
		if room -= count[n]; room <= 0 {
			break
		}
		room <<= 1
	}
	return n - tableBits
}
