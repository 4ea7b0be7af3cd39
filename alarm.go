package websocket

import (
	"sync"
	"time"
)

// An alarm rings a bell at a time that may be set again and again, and can be
// stopped for good, which waits for a ring under way.
type alarm struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pending sync.WaitGroup // rings to come or under way
}

// A bell is what an alarm is set for.
type bell interface {
	ring()
	rung(err error) // is told of a panic of ring, nil without one
}

// set has the bell rung after d, once, instead of at the time set before. It is always
// the same bell.
func (a *alarm) set(d time.Duration, b bell) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped:
		return
	case a.timer == nil:
		a.pending.Add(1)
		a.timer = time.AfterFunc(d, func() { a.ring(b) })
	case !a.timer.Reset(d):
		a.pending.Add(1)
	}
}

func (a *alarm) ring(b bell) {
	defer a.pending.Done()
	recovered(func() error {
		b.ring()
		return nil
	}, b.rung)
}

// unset takes back what was set. A ring under way is not waited for.
func (a *alarm) unset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil && a.timer.Stop() {
		a.pending.Done()
	}
}

// stop returns when the bell does not ring and never will. The bell itself must not
// call it.
func (a *alarm) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.unset()
	a.pending.Wait()
}
