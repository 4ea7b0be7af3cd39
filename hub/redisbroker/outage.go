package redisbroker

import (
	"runtime/debug"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
)

// outages knows which parts of the Broker are without a connection. An outage lasts from the first of
// them to the last.
type outages struct {
	tell func(event outageEvent)

	mu      sync.Mutex
	parts   map[string]bool
	since   time.Time
	count   uint64
	events  []outageEvent // to be told
	telling bool          // a goroutine tells
}

// An outageEvent is the beginning or the end of an outage.
type outageEvent struct {
	reason error         // nil: it has ended
	lasted time.Duration // until its end
}

// begin says that a part has no connection.
func (o *outages) begin(part string, reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.parts == nil {
		o.parts = make(map[string]bool)
	}
	began := len(o.parts) == 0
	o.parts[part] = true
	if began {
		o.since = time.Now()
		o.count++
		o.tellLocked(outageEvent{reason: reason})
	}
}

// end says that a part has a connection, or is no more.
func (o *outages) end(part string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.parts[part] {
		return
	}
	delete(o.parts, part)
	if len(o.parts) == 0 {
		o.tellLocked(outageEvent{lasted: time.Since(o.since)})
	}
}

// tellLocked tells of an event, without the mutex, behind what is being told. The caller
// holds the mutex.
func (o *outages) tellLocked(event outageEvent) {
	o.events = append(o.events, event)
	if o.telling {
		return
	}
	o.telling = true
	for len(o.events) > 0 {
		event := o.events[0]
		o.events = o.events[1:]
		o.mu.Unlock()
		o.tell(event)
		o.mu.Lock()
	}
	o.telling = false
}

// tellOutage logs the beginning or the end of an outage and calls OnOutage.
func (b *Broker) tellOutage(event outageEvent) {
	_ = recovered(func() error { // a panic of the logger can't be told anywhere
		if event.reason != nil {
			b.options.Logger.Warn("redisbroker: Redis is away", "error", event.reason)
		} else {
			b.options.Logger.Info("redisbroker: Redis is back", "after", event.lasted)
		}
		return nil
	})
	if b.options.OnOutage != nil {
		b.report(recovered(func() error {
			b.options.OnOutage(event.reason)
			return nil
		}))
	}
}

// report tells the logger and OnError of an error that has no caller.
func (b *Broker) report(err error) {
	if err == nil {
		return
	}
	_ = recovered(func() error {
		b.options.Logger.Error("redisbroker: it failed", "error", err)
		return nil
	})
	if b.options.OnError != nil {
		_ = recovered(func() error { // a panic of the callback can't be told anywhere
			b.options.OnError(err)
			return nil
		})
	}
}

// recovered calls foreign code in a goroutine of the Broker. It returns a panic as a
// *websocket.PanicError.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &websocket.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return f()
}

// Stats are counters of a [Broker].
type Stats struct {
	// Lost is the number of published messages that did not reach Redis, or may not have. What was
	// lost on its way behind Redis is not known here.
	Lost uint64
	// Dropped is the number of received messages that found no place in Options.Incoming.
	Dropped uint64
	// Outages is the number of times that a connection was missing.
	Outages uint64
	// Subscriptions is the number of topics that the hub wants now.
	Subscriptions int
	// Queued is the total size of the messages, in bytes, that wait to be published now.
	Queued int
}

// Stats returns the current counters.
func (b *Broker) Stats() Stats {
	b.outages.mu.Lock()
	outages := b.outages.count
	b.outages.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{
		Lost: b.lost.Load(), Dropped: b.dropped.Load(), Outages: outages,
		Subscriptions: len(b.topics), Queued: b.bytes,
	}
}
