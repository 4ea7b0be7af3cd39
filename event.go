package websocket

import "sync/atomic"

// An event is something that happens once. The zero value has not happened. It has
// no memory of its own until somebody waits for it.
type event struct {
	done atomic.Pointer[chan struct{}] // closed when it happens; nil unless somebody waits
}

// happened is what done is of all that has happened.
var happened = func() *chan struct{} {
	done := make(chan struct{})
	close(done)
	return &done
}()

func (e *event) happen() {
	if waited := e.done.Swap(happened); waited != nil && waited != happened {
		close(*waited)
	}
}

func (e *event) hasHappened() bool { return e.done.Load() == happened }

// wait returns a channel that is closed when it happens.
func (e *event) wait() <-chan struct{} {
	if e.done.Load() == nil {
		done := make(chan struct{})
		e.done.CompareAndSwap(nil, &done)
	}
	return *e.done.Load()
}
