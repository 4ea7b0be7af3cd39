// Package xsync adds to package sync: a lock whose waiters can give up, an event that allocates
// nothing until a goroutine waits for it, a timer that can be stopped for good, alone or as one of
// many that share a few timers of the runtime, and a deadline that can be moved.
package xsync

import "sync/atomic"

// A Lock is a FIFO mutex whose waiters can give up, so it may be held during I/O. The zero
// value is unlocked. Locking and unlocking a Lock for which nobody has ever waited costs two atomic
// operations.
type Lock struct {
	line atomic.Pointer[line] // nil: nobody has it, and nobody has ever waited for it
}

// A line is the holder and those who wait. It stays once the first one has waited.
type line struct {
	n    atomic.Int32  // the holder and the waiters
	pass chan struct{} // passes the lock to a waiter
}

// alone stands for a holder for whose lock nobody has ever waited.
var alone = new(line)

// TryLock locks l if it is free, and reports whether it did.
func (l *Lock) TryLock() bool {
	switch line := l.line.Load(); line {
	case nil:
		return l.line.CompareAndSwap(nil, alone)
	case alone:
		return false
	default:
		return line.n.CompareAndSwap(0, 1)
	}
}

// Wait starts to wait for the lock. The caller holds it once it has received from the
// channel. To give up, the caller must call Cancel instead of receiving.
func (l *Lock) Wait() <-chan struct{} {
	line := l.ensureLine()
	if line.n.Add(1) == 1 {
		line.pass <- struct{}{} // it was free
	}
	return line.pass
}

// ensureLine returns the line, which is made by the first who waits.
func (l *Lock) ensureLine() *line {
	for {
		now := l.line.Load()
		if now != nil && now != alone {
			return now
		}
		first := &line{pass: make(chan struct{}, 1)}
		if now == alone {
			first.n.Store(1)
		}
		l.line.CompareAndSwap(now, first)
	}
}

// Cancel ends a wait that Wait started. If the lock was passed to the caller in the meantime,
// Cancel unlocks it.
func (l *Lock) Cancel() {
	line := l.line.Load()
	for {
		n := line.n.Load()
		if n == 1 { // no other goroutine is left: the lock was passed to the caller
			<-line.pass
			l.Unlock()
			return
		}
		if line.n.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// HasWaiters reports whether a goroutine waits for the lock, which the caller holds.
func (l *Lock) HasWaiters() bool {
	line := l.line.Load()
	return line != nil && line.n.Load() > 1
}

// Unlock passes the lock to the goroutine that has waited longest, if there is one.
func (l *Lock) Unlock() {
	if l.line.CompareAndSwap(alone, nil) {
		return
	}
	if line := l.line.Load(); line.n.Add(-1) > 0 {
		line.pass <- struct{}{} // there is room: only the holder sends
	}
}
