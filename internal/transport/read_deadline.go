package transport

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// SetReadDeadline bounds later reads and one that waits. A zero time means no bound. If the network
// returns an error, so does SetReadDeadline, and the bound may have no effect.
func (t *Conn) SetReadDeadline(d time.Time) error {
	return t.readDeadlines().set(t, d)
}

// readDeadlines returns the read deadlines of the connection, which are made when they are first
// needed: most connections have none.
func (t *Conn) readDeadlines() *readDeadlines {
	return t.deadlines.Get(func() *readDeadlines { return new(readDeadlines) })
}

// FailReads makes a read that waits and every later one fail with the cause. Only the first cause
// has an effect. An error says that the waiting read could not be interrupted: see FailUnreached.
func (t *Conn) FailReads(cause error) error { return t.readDeadlines().fail(t, cause) }

// readDeadlines decides which read deadline the socket has: the caller's, or the end of a wait
// before the connection is parked, whichever comes first; one that has passed, to interrupt a read;
// or none, once a closing handshake reads, which is bounded by a timer. A change of any of them
// wakes a connection that is parked.
type readDeadlines struct {
	bounded atomic.Bool // the caller's deadline is not zero
	taken   bool        // a closing handshake reads: the deadline must not change any more

	mu     sync.Mutex    // guards all fields but bounded
	bounds *readBounds   // what was ever set; nil: nothing, as on most connections that are parked
	quiet  time.Duration // age at which a connection that waits for a message is quiet; zero: none

	parker parker
}

// readBounds are what others than the reading goroutine have set to end reads.
type readBounds struct {
	caller time.Time // the caller's deadline; zero: none
	failed error     // of FailReads: every later read fails with it
	ended  error     // the cause of the context of the read in progress, which has ended

	expiry *time.Timer // wakes a connection that is parked when the caller's deadline passes
}

// ensureBounds returns the bounds. The mutex is held.
func (d *readDeadlines) ensureBounds() *readBounds {
	if d.bounds == nil {
		d.bounds = new(readBounds)
	}
	return d.bounds
}

// caller returns the caller's deadline, zero for none. The mutex is held.
func (d *readDeadlines) caller() time.Time {
	if d.bounds == nil {
		return time.Time{}
	}
	return d.bounds.caller
}

// interruption returns why reads fail whatever the time is, nil if they do not. The mutex is held.
func (d *readDeadlines) interruption() error {
	if d.bounds == nil {
		return nil
	}
	return cmp.Or(d.bounds.failed, d.bounds.ended)
}

// set sets the caller's deadline.
func (d *readDeadlines) set(t *Conn, at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ensureBounds().caller = at
	d.bounded.Store(!at.IsZero())
	return d.apply(t)
}

// take removes the deadline for good, for the closing handshake.
func (d *readDeadlines) take(t *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken, d.quiet = true, 0
	_ = t.nc.SetReadDeadline(time.Time{})
}

// fail makes a read that waits and every later one fail with err, or with the err of an
// earlier call. It returns the error of setting the deadline.
func (d *readDeadlines) fail(t *Conn, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.ensureBounds()
	b.failed = cmp.Or(b.failed, err)
	return d.apply(t)
}

// end makes a read that waits fail with err, because its context has ended. Nil undoes that. It
// returns the error of setting the deadline.
func (d *readDeadlines) end(t *Conn, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ensureBounds().ended = err
	return d.apply(t)
}

// apply sets the deadline of the socket. The mutex is held.
func (d *readDeadlines) apply(t *Conn) error {
	d.Ready()
	switch {
	case d.taken:
		return nil
	case d.interruption() != nil:
		return t.nc.SetReadDeadline(longAgo)
	case d.quiet == 0:
		return t.nc.SetReadDeadline(d.caller())
	}
	at := time.Now().Add(d.quiet - t.Age())
	if caller := d.caller(); !caller.IsZero() && caller.Before(at) {
		at = caller
	}
	return t.nc.SetReadDeadline(at)
}

// setQuiet sets the age at which the read that waits for a message is to end. Only the reading
// goroutine may call it, with the read lock held. If the network can't set the deadline, the
// connection is not parked.
func (d *readDeadlines) setQuiet(t *Conn, at time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.taken {
		d.quiet = at
		_ = d.apply(t)
	}
}

// quietPassed reports whether a read has timed out only because of setQuiet, and takes that back.
// If that read waited for a message, the connection is quiet. The read lock is held.
func (d *readDeadlines) quietPassed(t *Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.quiet == 0 || d.interruption() != nil {
		return false
	}
	if caller := d.caller(); !caller.IsZero() && !time.Now().Before(caller) {
		return false
	}
	d.quiet = 0
	_ = d.apply(t)
	d.parker.isQuiet = d.parker.waits
	return true
}

// reason returns why a read timed out. timeout is its own error.
func (d *readDeadlines) reason(timeout error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return cmp.Or(d.interruption(), timeout)
}

// boundRead interrupts a read, until release, when ctx ends. The argument of release says whether
// the read has succeeded: then later reads still work, even if ctx has ended.
func (t *Conn) boundRead(ctx context.Context) (release func(succeeded bool)) {
	if ctx.Done() == nil {
		return func(bool) {}
	}
	t.flags.set(readByContext)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		t.events.Guard(func() { t.interruptRead(ctx) })
	})
	return func(succeeded bool) {
		t.flags.clear(readByContext)
		if stop() {
			return
		}
		<-ended
		if succeeded {
			_ = t.readDeadlines().end(t, nil) // if that fails, so does the next read
		}
	}
}

// interruptRead interrupts the read in progress, whose context has ended.
func (t *Conn) interruptRead(ctx context.Context) {
	cause := t.endOfReads(ctx)
	if cause == nil {
		return
	}
	ended := &contextError{cause}
	err := t.readDeadlines().end(t, ended)
	if !reaches(err) && t.flags.clear(readByContext) {
		t.FailUnreached("read", ended, err)
	}
}

// readIsBounded reports whether the read in progress has a bound of the caller's. Then no frame
// may be corked: the next read would have to write it first, which may take longer than its
// bound.
func (t *Conn) readIsBounded() bool {
	d := t.deadlines.Made()
	return t.flags.has(readByContext) || d != nil && d.bounded.Load()
}

// A contextError is the cause of a context that ended a read. It tells endReads that the
// connection's own context must end, too.
type contextError struct{ error }

func (e *contextError) Unwrap() error { return e.error }
