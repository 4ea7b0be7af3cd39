package websocket

import (
	"net"
	"sync"
	"syscall"
)

const (
	defaultReadBuffer = 16<<10 + maxHeaderSize // where it is held only with something in it
	plainReadBuffer   = 4 << 10                // where it is held while the peer is waited for
	minReadBuffer     = 256                    // a whole control frame fits
)

// readBuffer is what was read of the stream and not handed on yet: b[r:w]. It has
// memory only with something in it or, where the socket can't be waited for
// without, while it is read from.
type readBuffer struct {
	b    []byte
	r, w int

	size  int
	pool  *sync.Pool
	taken *[]byte // b as it is in the pool, nil for memory of another size

	// raw, where it is not nil, reads with tryRead, which leaves the result.
	raw     syscall.RawConn
	tryRead func(fd uintptr) bool
	need    int
	n       int
	err     error
}

func (b *readBuffer) init(nc net.Conn, early []byte, size int, pool *sync.Pool) {
	b.raw = rawConn(nc)
	if size <= 0 {
		size = plainReadBuffer
		if b.raw != nil {
			size = defaultReadBuffer
		}
	}
	b.size, b.pool = max(size, minReadBuffer), pool
	if len(early) > 0 {
		b.b = make([]byte, max(b.size, len(early)))
		b.w = copy(b.b, early)
	}
}

// bytes are those to hand on.
func (b *readBuffer) bytes() []byte { return b.b[b.r:b.w] }

// buffered is the number of bytes to hand on.
func (b *readBuffer) buffered() int { return b.w - b.r }

// hasFrame tells whether there is a whole frame.
func (b *readBuffer) hasFrame() bool {
	p := b.bytes()
	if !hasHeader(p) {
		return false
	}
	h := parseHeader(p)
	return h.length <= uint64(len(p)-h.size)
}

// take has memory to read into, with room for n bytes from b.r on.
func (b *readBuffer) take(n int) {
	if b.b == nil {
		b.taken, _ = b.pool.Get().(*[]byte)
		if b.taken == nil || len(*b.taken) != b.size { // it is another Upgrader's
			fresh := make([]byte, b.size)
			b.taken = &fresh
		}
		b.b = *b.taken
	}
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if len(b.b)-b.r < n {
		b.r, b.w = 0, copy(b.b, b.b[b.r:b.w])
	}
}

// detach goes on in other memory. What was handed on is left to whoever has it, and
// may be writing to it.
func (b *readBuffer) detach() {
	if b.b != nil {
		other := make([]byte, len(b.b))
		b.r, b.w = 0, copy(other, b.bytes())
		b.b, b.taken = other, nil
	}
}

// give gives the memory back, if there is nothing in it.
func (b *readBuffer) give() {
	if b.r != b.w || b.b == nil {
		return
	}
	if b.taken != nil {
		b.pool.Put(b.taken)
	}
	b.b, b.taken, b.r, b.w = nil, nil, 0, 0
}
