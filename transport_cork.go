package websocket

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

const (
	corkMax  = 32 << 10 // bytes that are held back, at most
	corkTime = time.Millisecond
)

// A cork holds small frames back while the reader has more to read without waiting:
// the answers to frames that came together leave together. It is guarded by the
// write lock, but for its atomics.
type cork struct {
	t       *transport
	held    *corkBuffer // nil: nothing is
	n       int
	holding atomic.Bool // held is not nil
	timer   xsync.Timer // should the reader take its time
}

type corkBuffer [corkMax + wire.MaxHeaderSize + coalesceMax]byte

var corkBuffers = sync.Pool{New: func() any { return new(corkBuffer) }}

// theCork is that of the connection, which most do without.
func (t *transport) theCork() *cork {
	if t.cork.Load() == nil {
		t.cork.CompareAndSwap(nil, &cork{t: t})
	}
	return t.cork.Load()
}

// holds reports whether frames are held back.
func (t *transport) holds() bool {
	c := t.cork.Load()
	return c != nil && c.held != nil
}

// mayHold reports whether a frame is to be held, rather than to leave at once.
func (t *transport) mayHold(b *bound, opcode byte, length int) bool {
	return t.more.Load() && wire.IsData(opcode) && !b.callers && b.ctx.Done() == nil &&
		t.theCork().n+wire.MaxHeaderSize+length <= corkMax
}

// hold takes in a frame that mayHold has let pass.
func (t *transport) hold(opcode byte, payload []byte) {
	c := t.theCork()
	if c.held == nil {
		c.held = corkBuffers.Get().(*corkBuffer) //nolint:errcheck // it is
		c.holding.Store(true)
		c.timer.Reset(corkTime, c)
	}
	c.n = len(append(wire.AppendHeader(c.held[:c.n], opcode, len(payload)), payload...))
}

// uncork writes what is held and, behind it, a frame: its header or all of it, and
// the payload. A client, whose frames are written in one piece however long they
// are, holds nothing.
func (t *transport) uncork(b *bound, frame, payload []byte) error {
	if !t.holds() {
		_, err := t.send(b, frame, payload)
		return err
	}
	return t.uncorkHeld(b, frame, payload)
}

func (t *transport) uncorkHeld(b *bound, frame, payload []byte) error {
	c := t.theCork()
	c.timer.Cancel()
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
	if t.more.Load() {
		t.more.Store(false)
	}
	// If somebody has the lock, he does it, or the timer.
	if c := t.cork.Load(); c != nil && c.holding.Load() && t.frameLock.TryLock() {
		t.unlockWrite()
	}
}

// Fire writes what is held. The reader may find more meanwhile: it leaves all the same.
func (c *cork) Fire() { c.t.events.Guard(c.t.uncorkInTime) }

func (t *transport) uncorkInTime() {
	t.more.Store(false)
	b := t.ownBound()
	if t.lockWrite(&b) != nil {
		return
	}
	if t.holds() {
		t.uncorkOwn()
	}
	t.unlockWrite()
}
