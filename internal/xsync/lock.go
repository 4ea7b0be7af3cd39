// Package xsync adds to package sync: a lock whose waiters can give up, an event that allocates
// nothing until a goroutine waits for it, a timer that can be stopped for good, alone or as one of
// many that share a few timers of the runtime, and a deadline that can be moved.
package xsync

import "sync/atomic"

// A Lock is a FIFO mutex whose waiters can give up, so it may be held during I/O. The zero
// value is unlocked. Locking and unlocking a free Lock costs two atomic operations.
type Lock struct {
	n       atomic.Int32        // the holder and the waiters
	handoff Lazy[chan struct{}] // passes the lock to a waiter; made by the first waiter
}

// TryLock locks l if it is free, and reports whether it did.
func (l *Lock) TryLock() bool { return l.n.CompareAndSwap(0, 1) }

// Wait starts to wait for the lock. The caller holds it once it has received from the
// channel. To give up, the caller must call Cancel instead of receiving.
func (l *Lock) Wait() <-chan struct{} {
	pass := *l.handoff.Get(newHandoff)
	if l.n.Add(1) == 1 {
		pass <- struct{}{} // it was free
	}
	return pass
}

// Cancel ends a wait that Wait started. If the lock was passed to the caller in the meantime,
// Cancel unlocks it.
func (l *Lock) Cancel() {
	for {
		n := l.n.Load()
		if n == 1 { // no other goroutine is left: the lock was passed to the caller
			<-*l.handoff.Made()
			l.Unlock()
			return
		}
		if l.n.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// HasWaiters reports whether a goroutine waits for the lock, which the caller holds.
func (l *Lock) HasWaiters() bool { return l.n.Load() > 1 }

// Unlock passes the lock to the goroutine that has waited longest, if there is one.
func (l *Lock) Unlock() {
	if l.n.Add(-1) > 0 {
		*l.handoff.Made() <- struct{}{} // there is room: only the holder sends
	}
}

func newHandoff() *chan struct{} {
	pass := make(chan struct{}, 1)
	return &pass
}
