// Package bufpool pools memory by size, and has the rule of how much of it may be kept while
// the peer is waited for. In builds with the race detector, memory is overwritten when it
// goes back to its pool, so that tests find a caller that still uses it.
package bufpool

import (
	"math/bits"
	"sync"
)

// Pooled memory has the size of a power of two, from 512 bytes to 16 MiB.
const (
	minSizeBits = 9
	MaxSizeBits = 24
)

var pools [MaxSizeBits - minSizeBits + 1]sync.Pool

// Get returns at least n bytes, which may hold anything. Sizes above 16 MiB are allocated and
// not pooled. Any goroutine may call it.
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

// Put gives memory back, which the caller must not use any more. Memory of a size
// that no pool has is left to the garbage collector.
func Put(p *[]byte) {
	if class := classOf(len(*p)); class < len(pools) && len(*p) == 1<<(minSizeBits+class) {
		pools[class].Put(p)
	}
}

// classOf returns the index of the pool for n bytes.
func classOf(n int) int { return max(bits.Len(uint(max(n, 1)-1))-minSizeBits, 0) }

// A Buffer is a part of some memory. The zero value is empty and has none. One goroutine may
// use it at a time.
type Buffer struct {
	Memory    *[]byte // nil: none
	Len       int     // of the part, in bytes
	Offset    int32   // of the part within Memory, in bytes
	NotPooled bool    // Memory has another owner, and is not given back
}

// Bytes returns the part.
func (b *Buffer) Bytes() []byte {
	if b.Memory == nil {
		return nil
	}
	return (*b.Memory)[b.Offset:][:b.Len:b.Len]
}

// Tail returns the free memory behind the part. It is never empty: a full Buffer grows.
func (b *Buffer) Tail() []byte {
	if b.Len == len(*b.Memory) {
		b.Grow(2 * b.Len)
	}
	return (*b.Memory)[b.Len:]
}

// Write appends p. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.Memory == nil || b.Len+len(p) > len(*b.Memory) {
		b.Grow(b.Len + len(p))
	}
	b.Len += copy((*b.Memory)[b.Len:], p)
	return len(p), nil
}

// Grow moves the part to memory for at least n bytes.
func (b *Buffer) Grow(n int) {
	larger := Buffer{Memory: Get(n), Len: b.Len}
	if b.Len > 0 {
		copy(*larger.Memory, b.Bytes())
	}
	b.Release()
	*b = larger
}

// Release gives the memory back and makes the Buffer empty. A second call does nothing.
func (b *Buffer) Release() {
	if b.Len > 0 {
		poison(b.Bytes())
	}
	if b.Memory != nil && !b.NotPooled {
		Put(b.Memory)
	}
	*b = Buffer{}
}
