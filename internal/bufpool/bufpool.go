// Package bufpool lends memory from pools, by size. Under the race detector memory is overwritten when
// a loan ends, so that a caller who keeps it too long is found.
package bufpool

import (
	"math/bits"
	"sync"
)

// Memory that is lent comes in powers of two, from 512 bytes to 16 MiB.
const (
	minSizeBits = 9 // bits
	MaxSizeBits = 24
)

var pools [MaxSizeBits - minSizeBits + 1]sync.Pool

// Get returns memory for n bytes. More than the largest size there is comes
// from nowhere and goes nowhere.
func Get(n int) *[]byte {
	class := classOf(n)
	if class >= len(pools) {
		p := make([]byte, n)
		return &p
	}
	if p, ok := pools[class].Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 1<<(minSizeBits+class))
	return &p
}

// Put has memory used again, where it is of a size that is borrowed.
func Put(p *[]byte) {
	if class := classOf(len(*p)); class < len(pools) && len(*p) == 1<<(minSizeBits+class) {
		pools[class].Put(p)
	}
}

func classOf(n int) int { return max(bits.Len(uint(max(n, 1)-1))-minSizeBits, 0) }

// A Buffer is a part of some memory.
type Buffer struct {
	Memory    *[]byte
	Len       int
	Offset    int32
	NotPooled bool // the memory is the read buffer's
}

func (l *Buffer) Bytes() []byte {
	if l.Memory == nil {
		return nil
	}
	return (*l.Memory)[l.Offset:][:l.Len:l.Len]
}

// Tail is what the part can grow into, which is never nothing.
func (l *Buffer) Tail() []byte {
	if l.Len == len(*l.Memory) {
		l.Grow(2 * l.Len)
	}
	return (*l.Memory)[l.Len:]
}

// Write appends to the part.
func (l *Buffer) Write(p []byte) (int, error) {
	if l.Memory == nil || l.Len+len(p) > len(*l.Memory) {
		l.Grow(l.Len + len(p))
	}
	l.Len += copy((*l.Memory)[l.Len:], p)
	return len(p), nil
}

// Grow has room for n bytes.
func (l *Buffer) Grow(n int) {
	larger := Buffer{Memory: Get(n), Len: l.Len}
	if l.Len > 0 {
		copy(*larger.Memory, l.Bytes())
	}
	l.Release()
	*l = larger
}

// Release ends the loan: the memory is used again.
func (l *Buffer) Release() {
	if l.Len > 0 {
		poison(l.Bytes())
	}
	if l.Memory != nil && !l.NotPooled {
		Put(l.Memory)
	}
	*l = Buffer{}
}
