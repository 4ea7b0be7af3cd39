package xsync

import "sync/atomic"

// An Event is set once and stays set. The zero value is not set. It allocates nothing until a
// goroutine calls Done.
type Event struct {
	ch atomic.Pointer[chan struct{}] // nil until Done or Set is called; closed by Set
}

// closedChan is the channel of every Event that is set.
var closedChan = func() *chan struct{} {
	done := make(chan struct{})
	close(done)
	return &done
}()

// Set sets the event and wakes the goroutines that wait for it.
func (e *Event) Set() {
	if waited := e.ch.Swap(closedChan); waited != nil && waited != closedChan {
		close(*waited)
	}
}

// IsSet reports whether the event is set.
func (e *Event) IsSet() bool { return e.ch.Load() == closedChan }

// Done returns a channel that is closed once the event is set.
func (e *Event) Done() <-chan struct{} {
	if e.ch.Load() == nil {
		done := make(chan struct{})
		e.ch.CompareAndSwap(nil, &done)
	}
	return *e.ch.Load()
}

// IsAwaited reports whether the event has a channel, which costs memory. It is for tests.
func (e *Event) IsAwaited() bool { return e.ch.Load() != nil }
