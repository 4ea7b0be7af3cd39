package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	// minMatch is the length in bytes of the shortest copy that is looked for.
	minMatch = 4

	// fastPatience is the length in bytes from which the fast level takes a copy without a look at
	// the next byte, where a longer one may begin.
	fastPatience = 16
)

// A matcher finds copies of earlier data. Positions in its table count from the first byte of data
// plus base, modulo 1<<16. The table may have positions of other data, too: what is found is
// compared.
type matcher struct {
	data     []byte
	base     uint16
	window   int // the greatest distance
	table    []bucket
	chains   *chains // in the place of a table, for levels that look longer
	patience int     // see fastPatience
}

func load32(p []byte, i int) uint32 { return binary.LittleEndian.Uint32(p[i:]) }
func load64(p []byte, i int) uint64 { return binary.LittleEndian.Uint64(p[i:]) }

// A bucket has the two latest positions of one hash, the last one lowest.
type bucket uint32

// bucket returns the place in the table for the four bytes of v.
func (m *matcher) bucket(v uint32) *bucket {
	hash := uint64(v * 2654435761)
	return &m.table[hash*uint64(len(m.table))>>32]
}

// matchLength returns how many bytes are equal from i and from j on, j being before i, up to end.
func matchLength(p []byte, i, j, end int) int {
	n := 0
	for i+n+8 <= end {
		if x := load64(p, i+n) ^ load64(p, j+n); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for i+n < end && p[i+n] == p[j+n] {
		n++
	}
	return n
}

// enter enters every so many positions, so that they are found.
func (m *matcher) enter(from, to, step int) {
	if m.chains != nil {
		m.chains.enter(m, from, to)
		return
	}
	for i := from; i+minMatch <= to; i += step {
		b := m.bucket(load32(m.data, i))
		*b = *b<<16 | bucket(m.base+uint16(i)) //nolint:gosec // modulo 1<<16
	}
}

// find enters the position i, and returns the longest copy that it finds there, which ends at to at
// most. The length is zero if there is none.
func (m *matcher) find(i, to int) (length, distance int) {
	if m.chains != nil {
		return m.chains.find(m, i, to)
	}
	p := m.bucket(load32(m.data, i))
	b := *p
	at := m.base + uint16(i) //nolint:gosec // modulo 1<<16
	*p = b<<16 | bucket(at)
	return m.longer(b, at, i, to)
}

// longer returns the longer copy of those that a bucket has for the position i.
func (m *matcher) longer(b bucket, at uint16, i, to int) (length, distance int) {
	v := load32(m.data, i)
	reach := min(i, m.window)
	if d := int(at - uint16(b)); uint(d-1) < uint(reach) && load32(m.data, i-d) == v {
		length, distance = minMatch+matchLength(m.data, i+minMatch, i-d+minMatch, to), d
	}
	if d := int(at - uint16(b>>16)); uint(d-1) < uint(reach) && load32(m.data, i-d) == v {
		if n := minMatch + matchLength(m.data, i+minMatch, i-d+minMatch, to); n > length {
			length, distance = n, d
		}
	}
	return length, distance
}

// next enters positions from i on, until there is a copy at one. It returns that position, or one
// behind the last that may have a copy. Literals begin at literal.
func (m *matcher) next(literal, i, to int) (at, length, distance int) {
	data := m.data[:to]
	table, base, window := m.table, m.base, m.window
	for i+minMatch <= len(data) {
		v := load32(data, i)
		p := &table[uint64(v*2654435761)*uint64(len(table))>>32]
		b := *p
		at := base + uint16(i)
		*p = b<<16 | bucket(at)
		reach := uint(min(i, window))
		d, e := uint(at-uint16(b)), uint(at-uint16(b>>16))
		if d-1 < reach && load32(data, i-int(d)) == v || e-1 < reach && load32(data, i-int(e)) == v {
			length, distance = m.longer(b, at, i, to)
			return i, length, distance
		}
		i++
		i += (i - literal) >> 5 // data that has found no copy for long is looked at here and there
	}
	return i, 0, 0
}

// match appends sequences for data[from:to]. Where a longer copy begins at the next byte, it takes
// that one.
func (m *matcher) match(sequences []sequence, from, to int) []sequence {
	literal := from // the first byte that is in no sequence yet
	for i := from; i+minMatch <= to; {
		var length, distance int
		if m.chains == nil {
			i, length, distance = m.next(literal, i, to)
		} else {
			length, distance = m.chains.find(m, i, to)
		}
		if length == 0 {
			i++
			continue
		}
		entered := i + 1
		for length < m.patience && i+1+minMatch <= to {
			nextLength, nextDistance := m.find(i+1, to)
			entered = i + 2
			if nextLength <= length {
				break
			}
			i++
			length, distance = nextLength, nextDistance
		}
		begin := i
		for begin > literal && begin > distance && m.data[begin-1] == m.data[begin-1-distance] {
			begin--
		}
		sequences = appendCopy(sequences, begin-literal, i+length-begin, distance)
		i += length
		literal = i
		m.enter(entered, min(i+minMatch-1, to), 1)
	}
	return appendLiterals(sequences, to-literal)
}

// A chains has all positions of a window by the hash of four bytes, the latest first.
type chains struct {
	depth int // how many positions are looked at

	heads    [1 << 15]uint16
	previous [1 << 16]uint16 // of a position, the one before it
}

// chainDepth has the depth for each level from 2 on.
var chainDepth = [...]int{2: 4, 3: 8, 4: 16, 5: 32, 6: 64, 7: 128, 8: 512, 9: 2048}

func (c *chains) head(v uint32) *uint16 { return &c.heads[v*2654435761>>17] }

func (c *chains) enter(m *matcher, from, to int) {
	for i := from; i+minMatch <= to; i++ {
		head := c.head(load32(m.data, i))
		at := m.base + uint16(i) //nolint:gosec // modulo 1<<16
		c.previous[at] = *head
		*head = at
	}
}

// find is matcher.find.
func (c *chains) find(m *matcher, i, to int) (length, distance int) {
	v := load32(m.data, i)
	head := c.head(v)
	at := m.base + uint16(i) //nolint:gosec // modulo 1<<16
	reach := min(i, m.window)
	last := 0
	for candidate, left := *head, c.depth; left > 0; candidate, left = c.previous[candidate], left-1 {
		d := int(at - candidate)
		if d > reach || d <= last { // a position of other data
			break
		}
		last = d
		if i+length >= to || m.data[i-d+length] != m.data[i+length] || load32(m.data, i-d) != v {
			continue
		}
		if n := minMatch + matchLength(m.data, i+minMatch, i-d+minMatch, to); n > length {
			length, distance = n, d
		}
	}
	c.previous[at], *head = *head, at
	return length, distance
}
