package websocket

import (
	"context"
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

// hold takes a frame in, unless it is to leave at once.
func (t *transport) hold(frame []byte) bool {
	c := &t.cork
	if !c.more.Load() || c.n+len(frame) > corkMax {
		return false
	}
	if c.held == nil {
		c.held = corkBuffers.Get().(*corkBuffer) //nolint:errcheck // it is
		c.holding.Store(true)
		c.alarm.set(corkTime)
	}
	c.n += copy(c.held[c.n:], frame)
	return true
}

// uncork writes what is held and, behind it, a frame: its header or all of it, and
// the payload. A client, whose frames are written in one piece however long they
// are, holds nothing.
func (t *transport) uncork(ctx context.Context, d deadline, frame, payload []byte) error {
	c := &t.cork
	if c.held == nil {
		_, err := t.send(ctx, d, frame, payload)
		return err
	}
	c.alarm.unset()
	c.n += copy(c.held[c.n:], frame)
	_, err := t.send(ctx, d, c.held[:c.n], payload)
	corkBuffers.Put(c.held)
	c.held, c.n = nil, 0
	c.holding.Store(false)
	return err
}

// uncorkBeforeWaiting is for the reader, which has nothing to read any more.
func (t *transport) uncorkBeforeWaiting() {
	t.cork.more.Store(false)
	if !t.cork.holding.Load() {
		return
	}
	select {
	case t.writing.lock <- struct{}{}:
		t.unlockWrite()
	default: // whoever has the lock does it, or the alarm
	}
}

// uncorkLate is what the alarm calls. The reader may find more meanwhile: what is
// held leaves all the same.
func (t *transport) uncorkLate() {
	t.cork.more.Store(false)
	d := t.ownDeadline()
	if t.lockWrite(context.Background(), d) != nil {
		return
	}
	if t.cork.held != nil {
		_ = t.uncork(context.Background(), d, nil, nil) // a failure is the connection's
	}
	t.unlockWrite()
}
