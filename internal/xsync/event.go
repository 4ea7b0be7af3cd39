package xsync

import "sync/atomic"

// An Event is something that happens once. The zero value has not happened. It has
// no memory of its own until somebody waits for it.
type Event struct {
	Ch atomic.Pointer[chan struct{}] // closed when it happens; nil unless somebody waits
}

// closedChan is what done is of all that has happened.
var closedChan = func() *chan struct{} {
	done := make(chan struct{})
	close(done)
	return &done
}()

func (e *Event) Set() {
	if waited := e.Ch.Swap(closedChan); waited != nil && waited != closedChan {
		close(*waited)
	}
}

func (e *Event) IsSet() bool { return e.Ch.Load() == closedChan }

// Done returns a channel that is closed when it happens.
func (e *Event) Done() <-chan struct{} {
	if e.Ch.Load() == nil {
		done := make(chan struct{})
		e.Ch.CompareAndSwap(nil, &done)
	}
	return *e.Ch.Load()
}
