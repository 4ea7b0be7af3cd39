// Package xsync has what the library needs beside package sync: a lock whose waiters can give up, and an
// event that costs no memory until a goroutine waits for it.
package xsync

import "sync/atomic"

// A Lock is a lock that is held over I/O: who waits for it may give up, and those
// who wait get it in the order in which they came. The zero value is free. Taking a
// free one and giving it back costs two atomic operations.
type Lock struct {
	n       atomic.Int32                  // who has it and who waits for it
	handoff atomic.Pointer[chan struct{}] // where it is passed on; made by the first who waits
}

// TryLock takes the turn if it is free.
func (t *Lock) TryLock() bool { return t.n.CompareAndSwap(0, 1) }

// Wait waits for the turn: it has come when the channel is received from. Who
// does not want to wait any longer must call leave instead.
func (t *Lock) Wait() <-chan struct{} {
	if t.handoff.Load() == nil {
		pass := make(chan struct{}, 1)
		t.handoff.CompareAndSwap(nil, &pass)
	}
	pass := *t.handoff.Load()
	if t.n.Add(1) == 1 {
		pass <- struct{}{} // nobody has it
	}
	return pass
}

// Cancel gives up waiting. If the turn has come meanwhile, it is passed on.
func (t *Lock) Cancel() {
	for {
		n := t.n.Load()
		if n == 1 { // nobody else is left: it was passed to us
			<-*t.handoff.Load()
			t.Unlock()
			return
		}
		if t.n.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// HasWaiters reports whether somebody waits for the turn, which the caller has.
func (t *Lock) HasWaiters() bool { return t.n.Load() > 1 }

// Unlock passes the turn to who has waited for longest, if anybody does.
func (t *Lock) Unlock() {
	if t.n.Add(-1) > 0 {
		*t.handoff.Load() <- struct{}{} // there is room: only who has the turn sends
	}
}
