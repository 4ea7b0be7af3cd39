package transport

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// A WriteDeadline is what bounds one write and the wait for its turn. All that lies between
// WriteMessage and the socket is handed a pointer to it, for the sake of the stack,
// and keeps none.
type WriteDeadline struct {
	ctx        context.Context
	deadline   time.Time     // the deadline
	timeout    time.Duration // where at is zero: without progress, for the wait and anew for the write; 0 for none
	waiting    time.Duration // 1 + the age at which the wait began; 0: nothing was waited for yet
	fromCaller bool          // not ours: it says nothing about the peer
}

// WriteDeadline is that of a write of the caller's that begins now.
func (t *Conn) WriteDeadline(ctx context.Context) WriteDeadline {
	if at := t.callers.Load(); at != nil {
		return WriteDeadline{ctx: ctx, deadline: *at, fromCaller: true}
	}
	return WriteDeadline{ctx: ctx, timeout: t.config.WriteTimeout}
}

// WriteDeadlineAt is that of a write of the caller's with a deadline of its own. The zero time
// stands for no such deadline.
func (t *Conn) WriteDeadlineAt(at time.Time) WriteDeadline {
	if at.IsZero() {
		return t.WriteDeadline(context.Background())
	}
	return WriteDeadline{ctx: context.Background(), deadline: at, fromCaller: true}
}

// ownDeadline is that of a write of ours.
func (t *Conn) ownDeadline() WriteDeadline {
	return WriteDeadline{ctx: context.Background(), timeout: t.config.WriteTimeout}
}

// closeDeadline is that of a close frame.
func closeDeadline(timeout time.Duration) WriteDeadline {
	return WriteDeadline{ctx: context.Background(), deadline: time.Now().Add(max(timeout, CloseGrace))}
}

// wait takes a lock. It gives up when nothing can be written any more, at the deadline and
// when the context ends: the write has not begun.
func (t *Conn) wait(lock *xsync.Lock, b *WriteDeadline) error {
	if b.ctx.Err() != nil {
		return &Error{Op: "write", Err: context.Cause(b.ctx)}
	}
	if lock.TryLock() {
		return nil
	}
	return t.waitInLine(lock, b)
}

// waitInLine is wait where somebody has the lock. All waiting of one call has one bound.
func (t *Conn) waitInLine(lock *xsync.Lock, b *WriteDeadline) error {
	if b.waiting == 0 {
		b.waiting = 1 + t.Age()
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
			return t.Unwritable()
		case <-b.ctx.Done():
			lock.Cancel()
			return &Error{Op: "write", Err: context.Cause(b.ctx)}
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
func (t *Conn) patience(lock *xsync.Lock, b *WriteDeadline) (left time.Duration, bounded bool) {
	switch {
	case !b.deadline.IsZero():
		return time.Until(b.deadline), true
	case b.timeout <= 0:
		return 0, false
	}
	moved := t.LastProgress()
	if lock != &t.frameLock {
		moved = t.messagesMovedAt()
	}
	return max(b.waiting-1, moved) + b.timeout - t.Age(), true
}

// messagesMovedAt is the age at which the message that others wait for last made progress,
// or the one before it left. Progress of a streamed message does not count, as it may never
// end.
func (t *Conn) messagesMovedAt() time.Duration {
	left := t.LastSent()
	if t.under.has(writeStreamed) {
		return left
	}
	return max(left, t.LastProgress())
}

// lockMessage acquires the lock of a message.
func (t *Conn) lockMessage(b *WriteDeadline) error {
	if err := t.Unwritable(); err != nil {
		return err
	}
	return t.wait(&t.messageLock, b)
}

func (t *Conn) unlockMessage() { t.messageLock.Unlock() }

// errBusy is the error of a write that waited in vain for another one. Nothing
// has happened to the connection.
var errBusy = &Error{Op: "write", Err: fmt.Errorf("waiting for another write: %w", os.ErrDeadlineExceeded)}

// lockWrite takes the write lock for a frame, unless it is known by now that it
// can't be written.
func (t *Conn) lockWrite(b *WriteDeadline) error {
	if err := t.Unwritable(); err != nil {
		return err
	}
	if !b.deadline.IsZero() && !time.Now().Before(b.deadline) {
		return &Error{Op: "write", Err: os.ErrDeadlineExceeded}
	}
	return t.lockClose(b)
}

// unlockWrite gives the lock back. Nobody may be left to write what is held but who
// has it.
func (t *Conn) unlockWrite() {
	if t.Holds() && !t.more.Load() {
		t.uncorkOwn()
	}
	t.frameLock.Unlock()
}

// lockClose takes the write lock for a close frame. ErrCloseSent comes when the
// other close frame is on the wire, whole: the socket may be closed then.
func (t *Conn) lockClose(b *WriteDeadline) error {
	if err := t.wait(&t.frameLock, b); err != nil {
		return err
	}
	if err := t.Unwritable(); err != nil {
		t.unlockWrite()
		return err
	}
	return nil
}
