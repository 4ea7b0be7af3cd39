// Package poller waits until descriptors can be read, with one goroutine for all of them. It is for
// sockets of package net on which no goroutine waits: they are in the runtime's poller as well, and
// the two do not disturb each other.
//
// # Closing
//
// A descriptor must be open during each call that takes it: the caller makes it within
// syscall.RawConn.Control, during which the runtime does not close it. The caller must call Remove
// before it closes the descriptor, so that no closed descriptor is watched. If other code closes
// it all the same, the kernel forgets it. The number of a Watch, which no other Watch has, keeps an
// event that was on its way from reaching another descriptor.
//
// # Goroutines
//
// The goroutine starts with the first descriptor and has ended when the Remove of the last one
// returns. All functions may be called from any goroutine, but not from a Waiter's Ready.
package poller

import (
	"errors"
	"sync"
)

// A Waiter is told when its descriptor can be read.
type Waiter interface {
	// Ready is called once for each time that the descriptor was armed, when a read would not
	// wait: there are bytes, the peer has ended its half or reset the connection. It may also be
	// called for nothing, as long as the descriptor is registered, and once afterwards. It must
	// return at once: the goroutine of all descriptors calls it.
	Ready()
}

// A Watch is a descriptor that is registered. The zero Watch stands for none.
type Watch struct {
	slot   uint32
	number uint32 // never zero
}

// IsZero reports whether w stands for no descriptor.
func (w Watch) IsZero() bool { return w.number == 0 }

// Add registers a descriptor and arms it. Its Ready is called once: see [Arm]. An error says that
// the system has no poller, or no room for one more descriptor.
func Add(fd uintptr, waiter Waiter) (Watch, error) { return shared.add(fd, waiter) }

// Arm has Ready called once more, at once if the descriptor can be read already. An error says
// that it will not be called.
func Arm(fd uintptr, w Watch) error { return shared.arm(fd, w) }

// Remove takes a descriptor out. It must be called once for each Add that succeeded.
func Remove(fd uintptr, w Watch) { shared.remove(fd, w, true) }

// Forget is Remove for a descriptor that is closed already.
func Forget(w Watch) { shared.remove(0, w, false) }

// shared is the poller of the process.
var shared poller

// chunkSize is how many descriptors a chunk of the table has. A table that grows by chunks is never
// copied, and wastes at most one of them.
const chunkSize = 256

// An entry of the table is a registered descriptor, or a free one.
type entry struct {
	waiter Waiter // nil: it is free
	number uint32 // of the Watch
	next   uint32 // the next free entry
}

// A poller is a table of descriptors and the queue of the kernel in which they are.
type poller struct {
	mu     sync.Mutex // guards all fields; never held during a system call but to begin a queue
	queue  *queue     // nil while no descriptor is registered
	done   chan struct{}
	chunks []*[chunkSize]entry
	used   uint32 // entries that were ever used
	free   uint32 // 1 + the first free entry; zero: there is none
	count  int    // registered descriptors
	last   uint32 // the number given last
}

// errFailed is the error of a poller whose goroutine has ended early.
var errFailed = errors.New("poller: the kernel's queue has failed")

func (p *poller) add(fd uintptr, waiter Waiter) (Watch, error) {
	p.mu.Lock()
	if p.queue == nil {
		q, err := newQueue()
		if err != nil {
			p.mu.Unlock()
			return Watch{}, err
		}
		p.queue, p.done = q, make(chan struct{})
		go p.run(q, p.done)
	}
	q := p.queue
	w := p.take(waiter)
	p.mu.Unlock()
	if err := q.add(fd, w); err != nil {
		p.remove(fd, w, false)
		return Watch{}, err
	}
	return w, nil
}

// arm needs no lock for the queue: it is open as long as w is registered.
func (p *poller) arm(fd uintptr, w Watch) error {
	p.mu.Lock()
	q := p.queue
	p.mu.Unlock()
	return q.arm(fd, w)
}

func (p *poller) remove(fd uintptr, w Watch, open bool) {
	p.mu.Lock()
	q := p.queue
	p.mu.Unlock()
	if open {
		q.remove(fd, w)
	} else {
		q.forget(w)
	}
	p.mu.Lock()
	if !p.giveBack(w) {
		p.mu.Unlock()
		return
	}
	done := p.done
	p.queue, p.done, p.chunks, p.used, p.free = nil, nil, nil, 0, 0
	p.mu.Unlock()
	q.close()
	<-done
}

// take returns a Watch for a waiter. The mutex is held.
func (p *poller) take(waiter Waiter) Watch {
	slot := p.free - 1
	switch {
	case p.free > 0:
		p.free = p.entry(slot).next
	default:
		slot = p.used
		p.used++
		if slot%chunkSize == 0 {
			p.chunks = append(p.chunks, new([chunkSize]entry))
		}
	}
	p.count++
	if p.last++; p.last == 0 {
		p.last++
	}
	*p.entry(slot) = entry{waiter: waiter, number: p.last}
	return Watch{slot, p.last}
}

// giveBack frees the entry of a Watch, and reports whether it was the last one. The mutex is held.
func (p *poller) giveBack(w Watch) (last bool) {
	*p.entry(w.slot) = entry{next: p.free}
	p.free = w.slot + 1
	p.count--
	return p.count == 0
}

func (p *poller) entry(slot uint32) *entry { return &p.chunks[slot/chunkSize][slot%chunkSize] }

// waiter returns the Waiter of a Watch, nil if its descriptor was removed.
func (p *poller) waiter(w Watch) Waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.slot >= p.used {
		return nil
	}
	if e := p.entry(w.slot); e.number == w.number {
		return e.waiter
	}
	return nil
}

// run tells waiters of events until the queue is closed.
func (p *poller) run(q *queue, done chan struct{}) {
	defer close(done)
	ready := make([]Watch, 0, maxEvents)
	for {
		var err error
		if ready, err = q.wait(ready[:0]); err != nil {
			break
		}
		for _, w := range ready {
			if waiter := p.waiter(w); waiter != nil {
				waiter.Ready()
			}
		}
	}
	if q.fail() {
		p.wakeAll()
	}
}

// wakeAll tells all waiters to read, because there will be no events: the queue has failed.
func (p *poller) wakeAll() {
	p.mu.Lock()
	var all []Waiter
	for slot := range p.used {
		if e := p.entry(slot); e.waiter != nil {
			all = append(all, e.waiter)
		}
	}
	p.mu.Unlock()
	for _, waiter := range all {
		waiter.Ready()
	}
}

// maxEvents is how many events are taken from the kernel at once.
const maxEvents = 128
