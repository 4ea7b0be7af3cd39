package xsync

import (
	"sync"
	"time"
)

// Timer is a timer that can be reset any number of times, and stopped for good, which waits
// for a call under way. The zero value is not set. All methods may be called from any
// goroutine, but Stop not from the call itself.
type Timer struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pending sync.WaitGroup // calls to come or under way
}

// A Firer is what a Timer calls, on a goroutine of its own. It must recover its panics.
type Firer interface{ Fire() }

// Reset has f.Fire called after d, once, instead of at the time that was set before. It does
// nothing after Stop. f must be the same in all calls: it is no part of the Timer to save
// its memory.
func (t *Timer) Reset(d time.Duration, f Firer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stopped:
		return
	case t.timer == nil:
		t.pending.Add(1)
		t.timer = time.AfterFunc(d, func() {
			defer t.pending.Done()
			f.Fire()
		})
	case !t.timer.Reset(d):
		t.pending.Add(1)
	}
}

// Cancel takes back what was set. It does not wait for a call under way.
func (t *Timer) Cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil && t.timer.Stop() {
		t.pending.Done()
	}
}

// Stop disarms the timer for good. When it returns, no call is under way.
func (t *Timer) Stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.Cancel()
	t.pending.Wait()
}
