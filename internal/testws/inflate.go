package testws

import (
	"errors"
	"fmt"
)

// An Inflater inflates the compressed messages of one sender (RFC 7692, 7.2.2) as simply as RFC 1951
// describes it. It refuses copies from beyond its window, which a decoder with a larger window does not
// notice. One goroutine at a time may use it. The zero value has a window of 0 bytes and refuses all
// copies.
type Inflater struct {
	Window   int  // how many bytes a copy may reach back
	Takeover bool // whether a copy may reach into earlier messages

	past []byte // the window, and the message that is being inflated
	in   []byte
	at   uint // bits of in that were read
}

var errInput = errors.New("the input ends too early")

// Inflate returns the content of a message, or an error that says what is wrong with it. After an error,
// the Inflater must not be used again.
func (z *Inflater) Inflate(payload []byte) (message []byte, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = p
		default:
			panic(p)
		}
	}()
	if !z.Takeover {
		z.past = nil
	}
	begin := len(z.past)
	z.in, z.at = append(append([]byte(nil), payload...), 0, 0, 0xff, 0xff), 0
	for z.at < uint(8*len(z.in)) {
		final := z.bits(1) == 1
		z.block()
		if final {
			z.at = (z.at + 7) &^ 7
		}
	}
	message = append([]byte(nil), z.past[begin:]...)
	z.past = z.past[max(0, len(z.past)-z.Window):]
	return message, nil
}

// bits reads a number of n bits, the lowest bit first.
func (z *Inflater) bits(n uint) (v int) {
	for i := range n {
		if z.at >= uint(8*len(z.in)) {
			panic(errInput)
		}
		v |= int(z.in[z.at/8]>>(z.at%8)&1) << i
		z.at++
	}
	return v
}

// block reads a block, after the bit that says whether it is the last one.
func (z *Inflater) block() {
	switch kind := z.bits(2); kind {
	case 0:
		z.at = (z.at + 7) &^ 7
		n, inverted := z.bits(16), z.bits(16)
		if n != inverted^0xffff {
			panic(fmt.Errorf("a stored block has lengths %x and %x", n, inverted))
		}
		for range n {
			z.past = append(z.past, byte(z.bits(8)))
		}
	case 1:
		var lengths [288]int
		for i := range lengths {
			switch {
			case i < 144, i >= 280:
				lengths[i] = 8
			case i < 256:
				lengths[i] = 9
			default:
				lengths[i] = 7
			}
		}
		five := make([]int, 30)
		for i := range five {
			five[i] = 5
		}
		z.coded(newPrefixCode(lengths[:]), newPrefixCode(five))
	case 2:
		z.coded(z.codes())
	default:
		panic(fmt.Errorf("a block has kind %d", kind))
	}
}

// codes reads the codes that a block begins with (RFC 1951, 3.2.7).
func (z *Inflater) codes() (literals, distances prefixCode) {
	order := [...]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	m, n, k := z.bits(5)+257, z.bits(5)+1, z.bits(4)+4
	if m > 286 || n > 30 {
		panic(fmt.Errorf("a block has %d and %d codes", m, n))
	}
	short := make([]int, len(order))
	for _, at := range order[:k] {
		short[at] = z.bits(3)
	}
	code := newPrefixCode(short)
	var lengths []int
	for len(lengths) < m+n {
		s, last, times := z.symbol(code), 0, 1
		switch s {
		case 16:
			last, times = lengths[len(lengths)-1], 3+z.bits(2)
		case 17:
			times = 3 + z.bits(3)
		case 18:
			times = 11 + z.bits(7)
		default:
			last = s
		}
		for range times {
			lengths = append(lengths, last)
		}
	}
	if len(lengths) != m+n || lengths[256] == 0 {
		panic(fmt.Errorf("a block has %d lengths of codes in place of %d, or no end", len(lengths), m+n))
	}
	return newPrefixCode(lengths[:m]), newPrefixCode(lengths[m:])
}

// A prefixCode has the number of codes of each length, and the symbols in the order of their codes.
type prefixCode struct {
	counts  [16]int
	symbols []int
}

// newPrefixCode returns the code whose symbols have codes of the given lengths; 0 means no code (RFC
// 1951, 3.2.2).
func newPrefixCode(lengths []int) (c prefixCode) {
	left := 1
	for length := 1; length <= 15; length++ {
		for symbol, n := range lengths {
			if n == length {
				c.counts[length]++
				c.symbols = append(c.symbols, symbol)
			}
		}
		if left = 2*left - c.counts[length]; left < 0 {
			panic(fmt.Errorf("too many codes of length %d", length))
		}
	}
	return c
}

// symbol reads a symbol.
func (z *Inflater) symbol(c prefixCode) int {
	code, first, before := 0, 0, 0
	for length := 1; length <= 15; length++ {
		code |= z.bits(1)
		n := c.counts[length]
		if code-first < n {
			return c.symbols[before+code-first]
		}
		before += n
		first, code = 2*(first+n), 2*code
	}
	panic(errors.New("there is no such code"))
}

// coded reads the symbols of a block.
func (z *Inflater) coded(literals, distances prefixCode) {
	for {
		s := z.symbol(literals)
		switch {
		case s < 256:
			z.past = append(z.past, byte(s))
			continue
		case s == 256:
			return
		case s > 285:
			panic(fmt.Errorf("symbol %d", s))
		}
		length := 258
		if s < 285 {
			length = z.value(s-257, 4) + 3
		}
		distance := z.value(z.symbol(distances), 2) + 1
		if distance > min(z.Window, len(z.past)) {
			panic(fmt.Errorf("a copy from %d bytes back: the window has %d, and %d bytes were sent", distance, z.Window, len(z.past)))
		}
		for range length {
			z.past = append(z.past, z.past[len(z.past)-distance])
		}
	}
}

// value reads the extra bits of a symbol, and returns the number that the symbol stands for, where
// symbol 0 stands for 0 (RFC 1951, 3.2.5). alike is how many symbols in a row have equally many extra
// bits.
func (z *Inflater) value(symbol, alike int) int {
	extra := max(symbol/alike-1, 0)
	base := symbol
	if extra > 0 {
		base = (alike + symbol%alike) << extra
	}
	return base + z.bits(uint(extra))
}
