package websocket

import (
	"sync"
	"time"
)

// An alarm calls a function at a time that may be set again and again, and can be
// stopped for good, which waits for a call under way.
type alarm struct {
	call   func()      // set before the first use, like the next
	failed func(error) // is told of a panic of call

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pending sync.WaitGroup // calls to come or under way
}

// set has the function called after d, once, instead of at the time set before.
func (a *alarm) set(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped:
		return
	case a.timer == nil:
		a.pending.Add(1)
		a.timer = time.AfterFunc(d, a.ring)
	case !a.timer.Reset(d):
		a.pending.Add(1)
	}
}

func (a *alarm) ring() {
	defer a.pending.Done()
	recovered(func() error {
		a.call()
		return nil
	}, func(err error) {
		if err != nil {
			a.failed(err)
		}
	})
}

// unset takes back what was set. A call under way is not waited for.
func (a *alarm) unset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil && a.timer.Stop() {
		a.pending.Done()
	}
}

// stop returns when no call is under way or will come. It must not be called by
// the function itself.
func (a *alarm) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.unset()
	a.pending.Wait()
}
