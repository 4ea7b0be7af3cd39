package transport

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
	t       *Conn
	held    *corkBuffer // nil: nothing is
	n       int
	holding atomic.Bool // held is not nil
	timer   xsync.Timer // should the reader take its time
}

type corkBuffer [corkMax + wire.MaxHeaderSize + coalesceMax]byte

var corkBuffers = sync.Pool{New: func() any { return new(corkBuffer) }}

// theCork is that of the connection, which most do without.
func (t *Conn) theCork() *cork {
	if t.Cork.Load() == nil {
		t.Cork.CompareAndSwap(nil, &cork{t: t})
	}
	return t.Cork.Load()
}

// Holds reports whether frames are held back.
func (t *Conn) Holds() bool {
	c := t.Cork.Load()
	return c != nil && c.held != nil
}

// mayHold reports whether a frame is to be held, rather than to leave at once.
func (t *Conn) mayHold(b *WriteDeadline, opcode byte, length int) bool {
	return t.more.Load() && wire.IsData(opcode) && !b.fromCaller && b.ctx.Done() == nil &&
		t.theCork().n+wire.MaxHeaderSize+length <= corkMax
}

// hold takes in a frame that mayHold has let pass.
func (t *Conn) hold(opcode byte, payload []byte) {
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
func (t *Conn) uncork(b *WriteDeadline, frame, payload []byte) error {
	if !t.Holds() {
		_, err := t.send(b, frame, payload)
		return err
	}
	return t.uncorkHeld(b, frame, payload)
}

func (t *Conn) uncorkHeld(b *WriteDeadline, frame, payload []byte) error {
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

// flushCork writes what is held on nobody's behalf: a failure is the connection's.
func (t *Conn) flushCork() {
	b := t.ownDeadline()
	_ = t.uncorkHeld(&b, nil, nil)
}

// uncorkBeforeWaiting is for the reader, which has nothing to read any more.
func (t *Conn) uncorkBeforeWaiting() {
	if t.more.Load() {
		t.more.Store(false)
	}
	// If somebody has the lock, he does it, or the timer.
	if c := t.Cork.Load(); c != nil && c.holding.Load() && t.frameLock.TryLock() {
		t.unlockFrame()
	}
}

// Fire writes what is held. The reader may find more meanwhile: it leaves all the same.
func (c *cork) Fire() { c.t.events.Guard(c.t.uncorkInTime) }

func (t *Conn) uncorkInTime() {
	t.more.Store(false)
	b := t.ownDeadline()
	if t.lockFrame(&b) != nil {
		return
	}
	if t.Holds() {
		t.flushCork()
	}
	t.unlockFrame()
}
