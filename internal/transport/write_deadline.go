package transport

import (
	"context"
	"time"
)

// A WriteDeadline bounds one call that writes: the wait for the locks, and then the write. It is
// made for each call, by a method of Conn. Functions take a pointer to it to keep stack frames
// small, and must not retain it.
type WriteDeadline struct {
	ctx        context.Context
	deadline   time.Time     // of the wait and the write; zero: timeout counts
	timeout    time.Duration // without progress, of the wait and anew of the write; 0: unlimited
	waitBegan  time.Duration // 1 + the age at which the wait for a lock began; 0: none has
	fromCaller bool          // deadline is the caller's: that it passes says nothing about the peer
}

// WriteDeadline returns the bound of a write that the caller begins now: ctx, and what
// SetWriteDeadline set or else Config.WriteTimeout.
func (t *Conn) WriteDeadline(ctx context.Context) WriteDeadline {
	if at := t.callersDeadline(); at != nil {
		return WriteDeadline{ctx: ctx, deadline: *at, fromCaller: true}
	}
	return WriteDeadline{ctx: ctx, timeout: t.config.WriteTimeout}
}

// WriteDeadlineAt returns the bound of a write with a deadline of its own, in place of the one
// that SetWriteDeadline set. If at is zero, it returns what WriteDeadline does without a context.
func (t *Conn) WriteDeadlineAt(at time.Time) WriteDeadline {
	if at.IsZero() {
		return t.WriteDeadline(context.Background())
	}
	return WriteDeadline{ctx: context.Background(), deadline: at, fromCaller: true}
}

// ownDeadline returns the bound of a write that the connection begins by itself. The caller's
// deadline does not count for it.
func (t *Conn) ownDeadline() WriteDeadline {
	return WriteDeadline{ctx: context.Background(), timeout: t.config.WriteTimeout}
}

// closeDeadline returns the bound of a close frame, CloseGrace at least.
func closeDeadline(timeout time.Duration) WriteDeadline {
	return WriteDeadline{ctx: context.Background(), deadline: time.Now().Add(max(timeout, CloseGrace))}
}

// unboundedWait returns the bound of a wait for a lock that only the end of the connection ends.
func unboundedWait() WriteDeadline { return WriteDeadline{ctx: context.Background()} }

// socketEnforces reports whether the socket alone enforces a deadline of ours, and is closed
// without waiting for anything. A TCP or unix socket does. TLS and wrapped connections may not,
// so they need a timer, too.
func (t *Conn) socketEnforces(b *WriteDeadline) bool {
	return t.coarse && !b.deadline.IsZero() && !b.fromCaller
}
