package websocket

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// A bound is what bounds one write and the wait for its turn. All that lies between
// WriteMessage and the socket is handed a pointer to it, for the sake of the stack,
// and keeps none.
type bound struct {
	ctx     context.Context
	at      time.Time     // the deadline
	within  time.Duration // where at is zero: without progress, for the wait and anew for the write; 0 for none
	since   time.Duration // 1 + the age at which the wait began; 0: nothing was waited for yet
	callers bool          // not ours: it says nothing about the peer
}

// bound is that of a write of the caller's that begins now.
func (t *transport) bound(ctx context.Context) bound {
	if at := t.callers.Load(); at != nil {
		return bound{ctx: ctx, at: *at, callers: true}
	}
	return bound{ctx: ctx, within: t.config.WriteTimeout}
}

// boundUntil is that of a write of the caller's with a deadline of its own. The zero time
// stands for no such deadline.
func (t *transport) boundUntil(at time.Time) bound {
	if at.IsZero() {
		return t.bound(context.Background())
	}
	return bound{ctx: context.Background(), at: at, callers: true}
}

// ownBound is that of a write of ours.
func (t *transport) ownBound() bound {
	return bound{ctx: context.Background(), within: t.config.WriteTimeout}
}

// closeBound is that of a close frame.
func closeBound(timeout time.Duration) bound {
	return bound{ctx: context.Background(), at: time.Now().Add(max(timeout, closeGrace))}
}

// wait takes a lock. It gives up when nothing can be written any more, at the deadline and
// when the context ends: the write has not begun.
func (t *transport) wait(lock *xsync.Lock, b *bound) error {
	if b.ctx.Err() != nil {
		return &ioError{op: "write", err: context.Cause(b.ctx)}
	}
	if lock.TryLock() {
		return nil
	}
	return t.waitInLine(lock, b)
}

// waitInLine is wait where somebody has the lock. All waiting of one call has one bound.
func (t *transport) waitInLine(lock *xsync.Lock, b *bound) error {
	if b.since == 0 {
		b.since = 1 + t.age()
	}
	var timer *time.Timer
	var expired <-chan time.Time
	if left, bounded := t.patience(lock, b); bounded {
		timer = time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	passed := lock.Wait()
	for {
		select {
		case <-passed:
			return nil
		case <-t.writeEnded.Done():
			lock.Cancel()
			return t.unwritable()
		case <-b.ctx.Done():
			lock.Cancel()
			return &ioError{op: "write", err: context.Cause(b.ctx)}
		case <-expired:
			if left, _ := t.patience(lock, b); left > 0 {
				timer.Reset(left)
				continue
			}
			lock.Cancel()
			return errBusy
		}
	}
}

// patience is how long a lock is still waited for. Where the bound is WriteTimeout, that
// is without progress of what is in the way.
func (t *transport) patience(lock *xsync.Lock, b *bound) (left time.Duration, bounded bool) {
	switch {
	case !b.at.IsZero():
		return time.Until(b.at), true
	case b.within <= 0:
		return 0, false
	}
	moved := t.takenAt()
	if lock != &t.frameLock {
		moved = t.messagesMovedAt()
	}
	return max(b.since-1, moved) + b.within - t.age(), true
}

// messagesMovedAt is the age at which the message that others wait for last made progress,
// or the one before it left. Progress of a streamed message does not count, as it may never
// end.
func (t *transport) messagesMovedAt() time.Duration {
	left := t.lastSent()
	if t.under.has(writeStreamed) {
		return left
	}
	return max(left, t.takenAt())
}

// lockMessage acquires the lock of a message.
func (t *transport) lockMessage(b *bound) error {
	if err := t.unwritable(); err != nil {
		return err
	}
	return t.wait(&t.messageLock, b)
}

func (t *transport) unlockMessage() { t.messageLock.Unlock() }

// errBusy is the error of a write that waited in vain for another one. Nothing
// has happened to the connection.
var errBusy = &ioError{op: "write", err: fmt.Errorf("waiting for another write: %w", os.ErrDeadlineExceeded)}

// lockWrite takes the write lock for a frame, unless it is known by now that it
// can't be written.
func (t *transport) lockWrite(b *bound) error {
	if err := t.unwritable(); err != nil {
		return err
	}
	if !b.at.IsZero() && !time.Now().Before(b.at) {
		return &ioError{op: "write", err: os.ErrDeadlineExceeded}
	}
	return t.lockClose(b)
}

// unlockWrite gives the lock back. Nobody may be left to write what is held but who
// has it.
func (t *transport) unlockWrite() {
	if t.holds() && !t.more.Load() {
		t.uncorkOwn()
	}
	t.frameLock.Unlock()
}

// lockClose takes the write lock for a close frame. ErrCloseSent comes when the
// other close frame is on the wire, whole: the socket may be closed then.
func (t *transport) lockClose(b *bound) error {
	if err := t.wait(&t.frameLock, b); err != nil {
		return err
	}
	if err := t.unwritable(); err != nil {
		t.unlockWrite()
		return err
	}
	return nil
}
