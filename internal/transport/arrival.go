package transport

import (
	"bytes"
	"math/bits"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

const (
	// A declared length allocates at most initialAlloc bytes. When they are full, the memory
	// grows to at most growthFactor times what was received.
	initialAlloc = 64 << 10
	growthFactor = 16

	// directSize is the length in bytes from which a message that is not lent is read
	// directly into memory of its own. For a shorter one, copying it from pooled memory costs
	// less than zeroing new memory.
	directSize = 128 << 10

	// maxStalls is the number of stalls after which a message is not read directly any more,
	// because each stall wastes the new memory.
	maxStalls = 8
)

// An arrival is the payload of a message that is being received, in one or more frames. While
// bytes keep arriving, they are read into memory that may be larger than they are. When the
// socket has nothing more, the arrival stalls: if the memory is too large for what was received,
// the bytes are saved in memory of about their size, and the large memory goes back to its pool,
// for other connections.
type arrival struct {
	memory   *[]byte        // where bytes are received; nil: none for now
	saved    bufpool.Buffer // the first bytes, if they are not in memory
	received int            // number of bytes
	length   int            // number of bytes when the current frame is complete
	last     bool           // the current frame is the last one
	lent     bool           // the payload is to be lent
	fresh    bool           // memory has the length of the payload and is not pooled
	stalls   int            // how often bytes were saved

	// try is read, the callback for the socket. It is made once: each method value allocates.
	try   func(fd uintptr) bool
	tried int   // number of bytes that try has read; negative: it found none
	err   error // of try
}

var arrivals = sync.Pool{New: func() any {
	a := new(arrival)
	a.try = a.read
	return a
}}

// newArrival returns an arrival for a message that is to be lent or not. The caller must call
// end.
func newArrival(lent bool) *arrival {
	a := arrivals.Get().(*arrival) //nolint:errcheck // the pool has nothing else
	a.lent = lent
	return a
}

// expect begins a frame: length more bytes will be received. last says that no frame follows.
func (a *arrival) expect(length uint64, last bool) {
	a.length, a.last = a.received+int(length), last //nolint:gosec // its size was checked
}

// end releases all memory, and the arrival itself.
func (a *arrival) end() {
	a.drop()
	a.saved.Release()
	a.received, a.length, a.last, a.stalls, a.tried, a.err = 0, 0, false, 0, 0, nil
	arrivals.Put(a)
}

// drop releases the memory where bytes are received.
func (a *arrival) drop() {
	if a.memory != nil {
		bufpool.Put(a.memory)
		a.memory, a.fresh = nil, false
	}
}

// space returns memory for the next bytes of the payload, as much as there may be while bytes
// keep arriving. After a stall, that is no more than a pool has, or may be kept at the next stall.
func (a *arrival) space() []byte {
	size := a.length
	if a.received < size/growthFactor {
		size = min(size, max(initialAlloc, a.received*growthFactor))
	}
	if a.saved.Len > 0 {
		size = min(size, max(1<<bufpool.MaxSizeBits, 2*a.received))
	}
	return a.spaceIn(size)
}

// narrowSpace returns memory for the next bytes of the payload, no more than may be kept while
// the connection waits for the peer with so many bytes received. other is the size of other
// memory that the connection could hold, but does not.
func (a *arrival) narrowSpace(received, other int) []byte {
	most := 1 << (bits.Len(uint(bufpool.MaxKept(received)+other)) - 1) //nolint:gosec // it is positive
	return a.spaceIn(min(a.length, most))                              // most is more than received
}

// spaceIn returns memory for the next bytes of the payload: the rest of the memory that there
// is or, if that is full, of new memory for size bytes.
func (a *arrival) spaceIn(size int) []byte {
	switch {
	case a.memory == nil:
		a.memory = a.alloc(size)
	case a.received == len(*a.memory):
		larger := a.alloc(size)
		copy((*larger)[a.saved.Len:], (*a.memory)[a.saved.Len:])
		bufpool.Put(a.memory)
		a.memory = larger
	}
	return (*a.memory)[a.received:min(a.length, len(*a.memory))]
}

// alloc returns memory for n bytes.
func (a *arrival) alloc(n int) *[]byte {
	if a.fresh = !a.lent && a.last && n >= max(a.length, directSize) && a.stalls <= maxStalls; !a.fresh {
		return bufpool.Get(n)
	}
	p := make([]byte, n)
	return &p
}

// mayKeep reports whether the memory may be kept while the connection waits for the peer.
func (a *arrival) mayKeep() bool {
	return a.memory == nil || len(*a.memory) <= bufpool.MaxKept(a.received)
}

// stall is called when the socket has nothing more to read for now. It releases memory that may
// not be kept.
func (a *arrival) stall() {
	if a.memory == nil {
		return
	}
	if a.mayKeep() {
		a.join()
		return
	}
	_, _ = a.saved.Write((*a.memory)[a.saved.Len:a.received]) // it never fails
	a.stalls++
	a.drop()
}

// join brings all bytes that were received together in memory.
func (a *arrival) join() {
	if a.memory == nil { // the payload is empty
		a.memory = bufpool.Get(a.length)
	}
	copy(*a.memory, a.saved.Bytes())
	a.saved.Release()
}

// newest returns the n bytes that were received last.
func (a *arrival) newest(n int) []byte { return (*a.memory)[a.received-n : a.received] }

// lend returns the complete payload in pooled memory.
func (a *arrival) lend() bufpool.Buffer {
	a.join()
	l := bufpool.Buffer{Memory: a.memory, Len: a.length}
	a.memory = nil
	return l
}

// own returns the complete payload in memory that belongs to the caller.
func (a *arrival) own() []byte {
	a.join()
	p := (*a.memory)[:a.length:a.length]
	if !a.fresh {
		return bytes.Clone(p)
	}
	a.memory, a.fresh = nil, false
	return p
}

// receivePayload reads some bytes of the current frame into a: what the read buffer contains or,
// if it is empty, what the socket has. It returns their number.
func (t *Conn) receivePayload(a *arrival) (n int, err error) {
	buffered := t.buffer.buffered()
	var p []byte
	if t.socket == nil {
		p = a.narrowSpace(a.received+min(buffered, a.length-a.received), min(t.bufferSize(), plainReadBuffer))
	} else if buffered > 0 {
		p = a.space()
	}
	switch {
	case buffered > 0:
		n = copy(p, t.buffer.bytes())
		t.buffer.r += n
	default:
		t.uncorkBeforeWaiting()
		t.putBuffer()
		if t.socket != nil {
			n, err = t.arriveRaw(a)
		} else {
			n, err = t.readSocket(p)
		}
		if n == 0 {
			return 0, t.readFailed(err)
		}
	}
	a.received += n
	t.frameLeft -= uint64(n)
	return n, nil
}

// payload reads the rest of the current frame into a, and checks it as content c of the message.
// c is nil if the payload is compressed: then it is checked when it is inflated.
func (t *Conn) payload(a *arrival, c *content) error {
	a.expect(t.frameLeft, !t.fragmented)
	for t.frameLeft > 0 {
		n, err := t.receivePayload(a)
		if err != nil {
			return err
		}
		p := a.newest(n)
		t.unmask(p)
		if c == nil {
			continue
		}
		if err := c.take(p, t.readLimit()); err != nil {
			return err
		}
	}
	return nil
}
