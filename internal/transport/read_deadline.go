package transport

import (
	"cmp"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// SetReadDeadline sets the caller's deadline for reads.
func (t *Conn) SetReadDeadline(d time.Time) error {
	return t.readDeadlines().set(t.nc, d)
}

// readDeadlines are those of the connection, most of which do without.
func (t *Conn) readDeadlines() *readDeadlines {
	if t.deadlines.Load() == nil {
		t.deadlines.CompareAndSwap(nil, new(readDeadlines))
	}
	return t.deadlines.Load()
}

// FailReads makes the waiting read and every later one fail. Its own error says that the
// waiting one was not reached: see failUnreached.
func (t *Conn) FailReads(cause error) error { return t.readDeadlines().fail(t.nc, cause) }

// readDeadlines decides which read deadline the socket has: the caller's, one
// that has passed to interrupt a read, or none for the closing handshake, which
// is bounded otherwise and not touched any more.
type readDeadlines struct {
	bounded atomic.Bool // callers is not zero

	mu      sync.Mutex
	callers time.Time
	failed  error // of a function of the connection: no read succeeds any more
	ended   error // of the context of the read under way
	taken   bool
}

func (d *readDeadlines) set(nc net.Conn, at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.callers = at
	d.bounded.Store(!at.IsZero())
	return d.apply(nc)
}

// take leaves the socket to the closing handshake.
func (d *readDeadlines) take(nc net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken = true
	_ = nc.SetReadDeadline(time.Time{})
}

// fail makes the waiting read and every later one fail, with the first error. Its own
// says that the waiting one could not be reached.
func (d *readDeadlines) fail(nc net.Conn, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = cmp.Or(d.failed, err)
	return d.apply(nc)
}

// end makes the waiting read fail because its context ended; nil takes that
// back. Its own error is like that of fail.
func (d *readDeadlines) end(nc net.Conn, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = err
	return d.apply(nc)
}

// apply sets the deadline that holds. The mutex is held.
func (d *readDeadlines) apply(nc net.Conn) error {
	switch {
	case d.taken:
		return nil
	case d.failed != nil || d.ended != nil:
		return nc.SetReadDeadline(longAgo)
	default:
		return nc.SetReadDeadline(d.callers)
	}
}

// reason is why a read timed out.
func (d *readDeadlines) reason(timeout error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.failed != nil:
		return d.failed
	case d.ended != nil:
		return d.ended
	default:
		return timeout
	}
}

// boundRead ends the reads until release when ctx ends. Release is told whether
// they succeeded: then later reads are not touched.
func (t *Conn) boundRead(ctx context.Context) (release func(succeeded bool)) {
	if ctx.Done() == nil {
		return func(bool) {}
	}
	t.under.set(readByContext)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		t.events.Guard(func() { t.interruptRead(ctx) })
	})
	return func(succeeded bool) {
		t.under.clear(readByContext)
		if stop() {
			return
		}
		<-ended
		if succeeded {
			_ = t.readDeadlines().end(t.nc, nil) // where it fails, so does the next read
		}
	}
}

// interruptRead ends the read under way, whose context has ended.
func (t *Conn) interruptRead(ctx context.Context) {
	cause := t.endOfReads(ctx)
	if cause == nil {
		return
	}
	ended := &contextError{cause}
	err := t.readDeadlines().end(t.nc, ended)
	if !reaches(err) && t.under.clear(readByContext) {
		t.FailUnreached("read", ended, err)
	}
}

// readIsBounded reports whether the read has a bound: then nothing may be held back,
// for the next read would have to write it, which may take longer.
func (t *Conn) readIsBounded() bool {
	d := t.deadlines.Load()
	return t.under.has(readByContext) || d != nil && d.bounded.Load()
}

// A contextError is the cause of a context that ended a read.
type contextError struct{ error }

func (e *contextError) Unwrap() error { return e.error }
