package transport

import (
	"context"
	"errors"
	"time"
)

// hangUp ends writing because a write found that the peer hung up. What the peer had sent
// before can still be read, and a close frame in it decides how the connection ended. The
// close timeout bounds that.
func (t *Conn) hangUp(err *Error) error {
	t.happens(eventHangUp, err)
	t.expireAfter(max(t.CloseTimeout()-CloseGrace, CloseGrace)) // findPeerClose may take the rest
	return t.failure
}

// IsHangUp reports whether err is, or wraps, that of the write which found that the peer
// hung up.
func (t *Conn) IsHangUp(err error) bool {
	return t.HungUp() && errors.Is(err, t.failure)
}

// FindPeerClose looks for the peer's close frame in what a peer that hung up had sent. It
// drops messages before it: the application reads no more. If the peer did not hang up, it
// does nothing.
func (t *Conn) FindPeerClose(within time.Duration) {
	if t.HungUp() && !t.isClosed() {
		defer t.abortAfter(max(within, CloseGrace))()
		t.awaitPeerClose()
	}
}

// endOfReads returns the cause with which ctx ended, nil if reads that it bounds go on. The
// connection's own context ends when the peer hangs up, but what the peer had sent before
// can still be read.
func (t *Conn) endOfReads(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); !t.IsHangUp(cause) {
		return cause
	}
	return nil
}
