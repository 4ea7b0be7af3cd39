package transport

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// lockMessage acquires the lock of a message. It must be acquired before the lock of a frame.
func (t *Conn) lockMessage(b *WriteDeadline) error {
	if err := t.Unwritable(); err != nil {
		return err
	}
	return t.acquire(&t.messageLock, b)
}

func (t *Conn) unlockMessage() { t.messageLock.Unlock() }

// lockFrame acquires the lock of a frame. It fails at once if nothing can be written any more,
// or the deadline has passed.
func (t *Conn) lockFrame(b *WriteDeadline) error {
	if err := t.Unwritable(); err != nil {
		return err
	}
	if !b.deadline.IsZero() && !time.Now().Before(b.deadline) {
		return &Error{Op: "write", Err: os.ErrDeadlineExceeded}
	}
	return t.lockCloseFrame(b)
}

// lockCloseFrame acquires the lock of a frame for a close frame. If another goroutine has sent
// one, it returns ErrCloseSent. It has acquired the lock by then, so that frame was written
// completely, and the socket may be closed.
func (t *Conn) lockCloseFrame(b *WriteDeadline) error {
	if err := t.acquire(&t.frameLock, b); err != nil {
		return err
	}
	if err := t.Unwritable(); err != nil {
		t.unlockFrame()
		return err
	}
	return nil
}

// unlockFrame releases the lock of a frame. It first writes frames that are held back if the
// reader expects no more answers: no other goroutine might write them.
func (t *Conn) unlockFrame() {
	if t.corked() && !t.flags.has(moreBuffered) {
		t.flushCork()
	}
	t.frameLock.Unlock()
}

// tryLockBoth acquires both locks if they are free and something can be written.
func (t *Conn) tryLockBoth() bool {
	if !t.messageLock.TryLock() {
		return false
	}
	if !t.frameLock.TryLock() {
		t.unlockMessage()
		return false
	}
	if t.Unwritable() != nil {
		t.unlockBoth()
		return false
	}
	return true
}

// lockBoth acquires both locks. It waits for as long as anything can be written.
func (t *Conn) lockBoth() error {
	b := unboundedWait()
	if err := t.lockMessage(&b); err != nil {
		return err
	}
	if err := t.lockFrame(&b); err != nil {
		t.unlockMessage()
		return err
	}
	return nil
}

func (t *Conn) unlockBoth() {
	t.unlockFrame()
	t.unlockMessage()
}

// errBusy is the error of a write that waited in vain for a lock. Nothing has happened to the
// connection.
var errBusy = &Error{Op: "write", Err: fmt.Errorf("waiting for another write: %w", os.ErrDeadlineExceeded)}

// acquire acquires a lock. It gives up when nothing can be written any more, at the deadline, and
// when the context ends.
func (t *Conn) acquire(lock *xsync.Lock, b *WriteDeadline) error {
	if b.ctx.Err() != nil {
		return &Error{Op: "write", Err: context.Cause(b.ctx)}
	}
	if lock.TryLock() {
		return nil
	}
	return t.acquireSlow(lock, b)
}

// acquireSlow is acquire for a lock that another goroutine holds. All waits of one call share one
// bound.
func (t *Conn) acquireSlow(lock *xsync.Lock, b *WriteDeadline) error {
	if b.waitBegan == 0 {
		b.waitBegan = 1 + t.Age()
	}
	var timer *time.Timer
	var expired <-chan time.Time
	if left, bounded := t.waitLeft(lock, b); bounded {
		timer = time.NewTimer(left)
		defer timer.Stop()
		expired = timer.C
	}
	passed := lock.Wait()
	for {
		select {
		case <-passed:
			return nil
		case <-t.await(untilWriteEnd):
			lock.Cancel()
			if !b.deadline.IsZero() && !time.Now().Before(b.deadline) {
				return errBusy // the timer of a closing handshake closes the socket at that instant
			}
			return t.Unwritable()
		case <-b.ctx.Done():
			lock.Cancel()
			return &Error{Op: "write", Err: context.Cause(b.ctx)}
		case <-expired:
			if left, _ := t.waitLeft(lock, b); left > 0 {
				timer.Reset(left)
				continue
			}
			lock.Cancel()
			return errBusy
		}
	}
}

// waitLeft returns how much longer a lock is waited for. A timeout counts from the last progress
// of the lock holder, a deadline does not move.
func (t *Conn) waitLeft(lock *xsync.Lock, b *WriteDeadline) (left time.Duration, bounded bool) {
	switch {
	case !b.deadline.IsZero():
		return time.Until(b.deadline), true
	case b.timeout <= 0:
		return 0, false
	}
	progress := t.LastProgress()
	if lock != &t.frameLock {
		progress = t.lastMessageProgress()
	}
	return max(b.waitBegan-1, progress) + b.timeout - t.Age(), true
}

// lastMessageProgress returns the age at which the message under way last made progress, or the
// one before it left. Progress of a streamed message does not count, as it may never end.
func (t *Conn) lastMessageProgress() time.Duration {
	left := t.LastSent()
	if t.flags.has(writeStreamed) {
		return left
	}
	return max(left, t.LastProgress())
}
