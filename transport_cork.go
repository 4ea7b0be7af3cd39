package websocket

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	corkMax  = 32 << 10 // bytes that are held back, at most
	corkTime = time.Millisecond
)

// cork holds small frames back while the reader has more to read without waiting:
// the answers to frames that came together leave together. It is guarded by the
// write lock, but for its atomics.
type cork struct {
	held    *corkBuffer // nil: nothing is
	n       int
	holding atomic.Bool // held is not nil
	more    atomic.Bool // another whole frame is in the read buffer
	alarm   alarm       // should the reader take its time
}

type corkBuffer [corkMax + maxHeaderSize + coalesceMax]byte

var corkBuffers = sync.Pool{New: func() any { return new(corkBuffer) }}

// holds tells whether a frame is to be held, rather than to leave at once.
func (t *transport) holds(b *bound, opcode byte, length int) bool {
	c := &t.cork
	return c.more.Load() && isData(opcode) && !b.callers && b.ctx.Done() == nil && c.n+maxHeaderSize+length <= corkMax
}

// hold takes in a frame that holds has let pass.
func (t *transport) hold(opcode byte, payload []byte) {
	c := &t.cork
	if c.held == nil {
		c.held = corkBuffers.Get().(*corkBuffer) //nolint:errcheck // it is
		c.holding.Store(true)
		c.alarm.set(corkTime)
	}
	c.n = len(append(appendHeader(c.held[:c.n], opcode, len(payload)), payload...))
}

// uncork writes what is held and, behind it, a frame: its header or all of it, and
// the payload. A client, whose frames are written in one piece however long they
// are, holds nothing.
func (t *transport) uncork(b *bound, frame, payload []byte) error {
	if t.cork.held == nil {
		_, err := t.send(b, frame, payload)
		return err
	}
	return t.uncorkHeld(b, frame, payload)
}

func (t *transport) uncorkHeld(b *bound, frame, payload []byte) error {
	c := &t.cork
	c.alarm.unset()
	held, n := c.held, c.n
	n += copy(held[n:], frame)
	c.held, c.n = nil, 0 // whatever becomes of it
	c.holding.Store(false)
	_, err := t.send(b, held[:n], payload)
	corkBuffers.Put(held)
	return err
}

// uncorkOwn writes what is held on nobody's behalf: a failure is the connection's.
func (t *transport) uncorkOwn() {
	b := t.ownBound()
	_ = t.uncorkHeld(&b, nil, nil)
}

// uncorkBeforeWaiting is for the reader, which has nothing to read any more.
func (t *transport) uncorkBeforeWaiting() {
	if t.cork.more.Load() {
		t.cork.more.Store(false)
	}
	// If somebody has the lock, he does it, or the alarm.
	if t.cork.holding.Load() && t.writing.lock.try() {
		t.unlockWrite()
	}
}

// uncorkLate is what the alarm calls. The reader may find more meanwhile: what is
// held leaves all the same.
func (t *transport) uncorkLate() {
	t.cork.more.Store(false)
	b := t.ownBound()
	if t.lockWrite(&b) != nil {
		return
	}
	if t.cork.held != nil {
		t.uncorkOwn()
	}
	t.unlockWrite()
}
