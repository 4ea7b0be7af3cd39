package websocket

import (
	"math/bits"
	"sync"
)

// Memory that is lent comes in powers of two, from 512 bytes to 16 MiB.
const (
	smallestLent = 9 // bits
	largestLent  = 24
)

var lentPools [largestLent - smallestLent + 1]sync.Pool

// borrow returns memory for n bytes. More than the largest size there is comes
// from nowhere and goes nowhere.
func borrow(n int) *[]byte {
	class := lentClass(n)
	if class >= len(lentPools) {
		p := make([]byte, n)
		return &p
	}
	if p, ok := lentPools[class].Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 1<<(smallestLent+class))
	return &p
}

// giveBack has memory used again, where it is of a size that is borrowed.
func giveBack(p *[]byte) {
	if class := lentClass(len(*p)); class < len(lentPools) && len(*p) == 1<<(smallestLent+class) {
		lentPools[class].Put(p)
	}
}

func lentClass(n int) int { return max(bits.Len(uint(max(n, 1)-1))-smallestLent, 0) }

// A loan is a part of some memory.
type loan struct {
	memory   *[]byte
	n        int
	at       int32
	ofBuffer bool // the memory is the read buffer's
}

func (l *loan) bytes() []byte {
	if l.memory == nil {
		return nil
	}
	return (*l.memory)[l.at:][:l.n:l.n]
}

// spare is what the part can grow into, which is never nothing.
func (l *loan) spare() []byte {
	if l.n == len(*l.memory) {
		l.grow(2 * l.n)
	}
	return (*l.memory)[l.n:]
}

// Write appends to the part.
func (l *loan) Write(p []byte) (int, error) {
	if l.memory == nil || l.n+len(p) > len(*l.memory) {
		l.grow(l.n + len(p))
	}
	l.n += copy((*l.memory)[l.n:], p)
	return len(p), nil
}

// grow has room for n bytes.
func (l *loan) grow(n int) {
	larger := loan{memory: borrow(n), n: l.n}
	if l.n > 0 {
		copy(*larger.memory, l.bytes())
	}
	l.end()
	*l = larger
}

// end ends the loan: the memory is used again.
func (l *loan) end() {
	if l.n > 0 {
		spoil(l.bytes())
	}
	if l.memory != nil && !l.ofBuffer {
		giveBack(l.memory)
	}
	*l = loan{}
}
