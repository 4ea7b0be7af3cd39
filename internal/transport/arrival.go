package transport

import (
	"bytes"
	"math/bits"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

const (
	// While bytes flow, a frame's length alone claims flowing bytes of memory, and
	// flowFactor times what has come when that is full.
	flowing    = 64 << 10
	flowFactor = 16

	// direct is from how many bytes on a message of its own comes right into its own
	// memory: for shorter ones, a copy costs less than what is zeroed.
	direct = 128 << 10

	// maxStops is how often it may lose that again, having stopped: it is not used again.
	maxStops = 8
)

// An arrival is the payload of a message on its way, which may have several frames. It comes into memory that may be large while bytes
// flow. When the socket has nothing more and too little has come for that, what has come
// is set aside, in memory of its size, and the large memory is for other connections.
type arrival struct {
	memory *[]byte        // nil: none for now
	aside  bufpool.Buffer // what is not in memory, but belongs at its beginning
	n      int            // bytes that have come
	length int            // bytes that will, of the frames that have begun
	last   bool           // there are no other frames
	lent   bool           // the payload is to be lent
	fresh  bool           // memory is nobody else's, and of the payload's length
	stops  int            // so often bytes were set aside

	got int // what the last try to read got; less than 0: nothing yet
	err error
	try func(fd uintptr) bool // read
}

var arrivals = sync.Pool{New: func() any {
	a := new(arrival)
	a.try = a.read
	return a
}}

func newArrival(lent bool) *arrival {
	a := arrivals.Get().(*arrival) //nolint:errcheck // it is
	a.lent = lent
	return a
}

// expect says that so many bytes are to come behind those that have come, and whether
// these are the last ones.
func (a *arrival) expect(length uint64, last bool) {
	a.length, a.last = a.n+int(length), last //nolint:gosec // measure has seen to it
}

// end gives back all memory.
func (a *arrival) end() {
	a.drop()
	a.aside.Release()
	a.n, a.length, a.last, a.stops, a.got, a.err = 0, 0, false, 0, 0, nil
	arrivals.Put(a)
}

// drop gives back the memory that bytes come into.
func (a *arrival) drop() {
	if a.memory != nil {
		bufpool.Put(a.memory)
		a.memory, a.fresh = nil, false
	}
}

// room is where more of the payload goes to, in as much memory as bytes may have that
// flow. Once they have stopped, it is no more than comes from a pool, or may be kept when
// they stop again.
func (a *arrival) room() []byte {
	size := a.length
	if a.n < size/flowFactor {
		size = min(size, max(flowing, a.n*flowFactor))
	}
	if a.aside.Len > 0 {
		size = min(size, max(1<<bufpool.MaxSizeBits, 2*a.n))
	}
	return a.within(size)
}

// narrowRoom is the same in as little memory as may be kept while the peer is waited for,
// where so many bytes have come and so much other memory is given back meanwhile.
func (a *arrival) narrowRoom(come, other int) []byte {
	most := 1 << (bits.Len(uint(bufpool.MaxKept(come)+other)) - 1) //nolint:gosec // it is positive
	return a.within(min(a.length, most))                           // which is more than has come
}

// within is where more of the payload goes to, in memory for so many bytes or, where that
// is not full, in what there is.
func (a *arrival) within(size int) []byte {
	switch {
	case a.memory == nil:
		a.memory = a.claim(size)
	case a.n == len(*a.memory):
		larger := a.claim(size)
		copy((*larger)[a.aside.Len:], (*a.memory)[a.aside.Len:])
		bufpool.Put(a.memory)
		a.memory = larger
	}
	return (*a.memory)[a.n:min(a.length, len(*a.memory))]
}

// claim returns memory for n bytes.
func (a *arrival) claim(n int) *[]byte {
	if a.fresh = !a.lent && a.last && n >= max(a.length, direct) && a.stops <= maxStops; !a.fresh {
		return bufpool.Get(n)
	}
	p := make([]byte, n)
	return &p
}

// mayKeep reports whether the memory may be kept while the peer is waited for.
func (a *arrival) mayKeep() bool { return a.memory == nil || len(*a.memory) <= bufpool.MaxKept(a.n) }

// settle is called when there is nothing more to read for now.
func (a *arrival) settle() {
	if a.memory == nil {
		return
	}
	if a.mayKeep() {
		a.join()
		return
	}
	_, _ = a.aside.Write((*a.memory)[a.aside.Len:a.n]) // to memory
	a.stops++
	a.drop()
}

// join has all that has come in one place.
func (a *arrival) join() {
	if a.memory == nil { // a payload of no bytes
		a.memory = bufpool.Get(a.length)
	}
	copy(*a.memory, a.aside.Bytes())
	a.aside.Release()
}

// newest are the n bytes that came last.
func (a *arrival) newest(n int) []byte { return (*a.memory)[a.n-n : a.n] }

// lend returns the payload, which has come, as a loan.
func (a *arrival) lend() bufpool.Buffer {
	a.join()
	l := bufpool.Buffer{Memory: a.memory, Len: a.length}
	a.memory = nil
	return l
}

// own returns the payload, which has come, in memory of its own.
func (a *arrival) own() []byte {
	a.join()
	p := (*a.memory)[:a.length:a.length]
	if !a.fresh {
		return bytes.Clone(p)
	}
	a.memory, a.fresh = nil, false
	return p
}

// receivePayload reads some bytes of a payload: what is in the buffer and, when that is
// empty, what the socket has.
func (t *Conn) receivePayload(a *arrival) (n int, err error) {
	buffered := t.buffer.buffered()
	var p []byte
	if t.socket == nil {
		p = a.narrowRoom(a.n+min(buffered, a.length-a.n), min(t.bufferSize(), plainReadBuffer))
	} else if buffered > 0 {
		p = a.room()
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
	a.n += n
	t.frameLeft -= uint64(n)
	return n, nil
}

// payload reads the rest of a frame. Where it is content, it is checked.
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
		if err := c.take(p, t.limit.Load()); err != nil {
			return err
		}
	}
	return nil
}
