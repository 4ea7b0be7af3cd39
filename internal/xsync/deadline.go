package xsync

import (
	"context"
	"os"
	"sync"
	"time"
)

// A Deadline makes contexts that end at a deadline, which can be changed while goroutines
// wait, as the deadlines of a net.Conn can. All methods may be called from any goroutine.
//
// As long as the deadline has not passed, Set keeps the context and changes its end. Once it
// has passed, Set makes a new context.
type Deadline struct {
	parent context.Context

	mu     sync.Mutex
	at     time.Time // zero: none
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // set to at; nil without a deadline, and if it passed before it was set
}

// NewDeadline returns a Deadline that is not set. Its contexts are derived from parent.
func NewDeadline(parent context.Context) *Deadline {
	d := &Deadline{parent: parent}
	d.renew()
	return d
}

// renew replaces the context. The caller holds the lock or is the only user.
func (d *Deadline) renew() { d.ctx, d.cancel = context.WithCancelCause(d.parent) }

// Context returns the context of an operation that begins now. If the deadline passes, its
// cause is os.ErrDeadlineExceeded.
func (d *Deadline) Context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		d.cancel(os.ErrDeadlineExceeded) // the timer may be late
	}
	return d.ctx
}

// Set changes the deadline, also of operations in progress. The zero time removes it.
func (d *Deadline) Set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() || d.ctx.Err() != nil {
		d.renew()
	}
	d.at, d.timer = at, nil
	if at.IsZero() {
		return
	}
	cancel := d.cancel // not that of a later context
	if wait := time.Until(at); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { cancel(os.ErrDeadlineExceeded) })
	} else {
		cancel(os.ErrDeadlineExceeded)
	}
}

// Stop releases the timer. It does not end the context.
func (d *Deadline) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}
