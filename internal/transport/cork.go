package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

const (
	corkMax  = 32 << 10         // bytes that are held back at most
	corkTime = time.Millisecond // for which they are held back at most
)

// A cork holds small frames back while the reader has more to read without waiting, so that the
// answers to frames that arrived together leave together. frameLock guards it, but for holding
// and the timer.
type cork struct {
	t       *Conn
	held    *corkBuffer // nil: no frames are held back
	n       int         // bytes in held
	holding atomic.Bool // held is not nil
	timer   xsync.Timer // flushes the cork if the reader takes its time
}

// A corkBuffer has room for the frames that are held back, and behind them for a small frame that
// is not.
type corkBuffer [corkMax + wire.MaxHeaderSize + coalesceMax]byte

var corkBuffers = sync.Pool{New: func() any { return new(corkBuffer) }}

// ensureCork returns the cork, which is made when it is first needed: most connections need none.
func (t *Conn) ensureCork() *cork {
	return t.cork.Get(func() *cork { return &cork{t: t} })
}

// corked reports whether frames are held back. frameLock is held.
func (t *Conn) corked() bool {
	c := t.cork.Made()
	return c != nil && c.held != nil
}

// canCork reports whether a frame is to be held back instead of being written at once. A
// deadline or context of the caller's could not bound it then.
func (t *Conn) canCork(b *WriteDeadline, opcode byte, length int) bool {
	if !t.flags.has(moreBuffered) || !wire.IsData(opcode) || b.fromCaller || b.ctx.Done() != nil {
		return false
	}
	c := t.cork.Made()
	return c == nil || c.n+wire.MaxHeaderSize+length <= corkMax
}

// appendCorked holds a frame back for which canCork has reported true.
func (t *Conn) appendCorked(opcode byte, payload []byte) {
	c := t.ensureCork()
	if c.held == nil {
		c.held = corkBuffers.Get().(*corkBuffer) //nolint:errcheck // it is
		c.holding.Store(true)
		if !t.isClosed() { // otherwise StopBackground may have been called before there was a cork
			c.timer.Reset(corkTime, c)
		}
	}
	c.n = len(append(wire.AppendHeader(c.held[:c.n], opcode, len(payload)), payload...))
}

// uncork writes what is held back and, behind it, a frame: all of it or its header, with its
// payload. A client holds nothing back, so its frames may be longer than the room in the buffer.
func (t *Conn) uncork(b *WriteDeadline, frame, payload []byte) error {
	if !t.corked() {
		_, err := t.send(b, frame, payload)
		return err
	}
	return t.uncorkHeld(b, frame, payload)
}

func (t *Conn) uncorkHeld(b *WriteDeadline, frame, payload []byte) error {
	c := t.ensureCork()
	c.timer.Cancel()
	held, n := c.held, c.n
	n += copy(held[n:], frame)
	c.held, c.n = nil, 0 // whatever send returns
	c.holding.Store(false)
	_, err := t.send(b, held[:n], payload)
	corkBuffers.Put(held)
	return err
}

// flushCork writes what is held back. An error of it has ended the connection, so no call needs
// to return it.
func (t *Conn) flushCork() {
	b := t.ownDeadline()
	_ = t.uncorkHeld(&b, nil, nil)
}

// uncorkBeforeWaiting flushes the cork before the reading goroutine waits for the peer.
func (t *Conn) uncorkBeforeWaiting() {
	if t.flags.has(moreBuffered) {
		t.flags.clear(moreBuffered)
	}
	// If another goroutine has the lock, it flushes the cork as it unlocks, or the timer does.
	if c := t.cork.Made(); c != nil && c.holding.Load() && t.frameLock.TryLock() {
		t.unlockFrame()
	}
}

// Fire flushes the cork when corkTime has passed.
func (c *cork) Fire() { c.t.events.Guard(c.t.uncorkInTime) }

// uncorkInTime flushes the cork even if the reader finds more frames in the meantime.
func (t *Conn) uncorkInTime() {
	t.flags.clear(moreBuffered)
	b := t.ownDeadline()
	if t.lockFrame(&b) != nil {
		return
	}
	if t.corked() {
		t.flushCork()
	}
	t.unlockFrame()
}
