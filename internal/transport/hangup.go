package transport

import (
	"context"
	"errors"
	"time"
)

// hangUp notes that a write failed because the peer hung up: nothing can be written any more.
// What the peer had sent before can still be read, within the close timeout, and a close frame
// in it decides how the connection ended. It returns the first failure of the connection.
func (t *Conn) hangUp(err *Error) error {
	t.happens(eventHangUp, err)
	t.expireAfter(max(t.CloseTimeout()-CloseGrace, CloseGrace)) // FindPeerClose needs the rest
	return t.failure
}

// IsHangUp reports whether err is, or wraps, the error of the write that found that the peer
// hung up.
func (t *Conn) IsHangUp(err error) bool {
	return t.HungUp() && errors.Is(err, t.failure)
}

// FindPeerClose looks for the peer's close frame in what the peer had sent before it hung up,
// and drops messages before that. It is for the time when the application reads no more. It
// takes no longer than within, or CloseGrace if that is more. If the peer did not hang up, it
// does nothing.
func (t *Conn) FindPeerClose(within time.Duration) {
	if t.HungUp() && !t.isClosed() {
		defer t.abortAfter(max(within, CloseGrace))()
		t.awaitPeerClose()
	}
}

// endOfReads returns the cause of ctx if reads must end because ctx has ended. A hang-up ends
// the connection's own context, but does not end reads: what the peer had sent can still be
// read.
func (t *Conn) endOfReads(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); !t.IsHangUp(cause) {
		return cause
	}
	return nil
}
