package websocket

import (
	"math/bits"
	"sync"
)

// Memory that is lent comes in powers of two, from 4 KiB to 16 MiB.
const (
	smallestLent = 12 // bits
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

func giveBack(p *[]byte) {
	if class := lentClass(len(*p)); class < len(lentPools) {
		lentPools[class].Put(p)
	}
}

func lentClass(n int) int { return max(bits.Len(uint(max(n, 1)-1))-smallestLent, 0) }

// lent is what ReadSlice returned last. The reading goroutine has it.
type lent struct {
	slice  []byte
	memory *[]byte // that it is part of; nil where that is the read buffer
}

// end ends the loan: the memory is used again.
func (l *lent) end() {
	spoil(l.slice)
	l.slice = nil
	if l.memory != nil {
		giveBack(l.memory)
		l.memory = nil
	}
}
