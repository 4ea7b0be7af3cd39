package websocket

import (
	"context"
	"errors"
	"time"
)

// hangUp ends writing because the peer hung up, as a write found. What had come is still
// to be read, by the application if it wants to: the close frame in it, if there is one,
// decides how the connection ended. That is bounded by the close timeout.
func (t *transport) hangUp(err *ioError) error {
	t.happens(eventHangUp, err)
	t.expireAfter(max(time.Duration(t.closeTimeout.Load())-closeGrace, closeGrace)) // which findPeerClose may take
	return t.failure
}

// isHangUp reports whether an error says only that the peer hung up, as a write found.
func (t *transport) isHangUp(err error) bool {
	return t.hungUp() && errors.Is(err, t.failure)
}

// findPeerClose looks, where the peer hung up, for its close frame in what had come. What
// stands before that is dropped: nobody is to read it any more.
func (t *transport) findPeerClose(within time.Duration) {
	if t.hungUp() && !t.isClosed() {
		defer t.abortAfter(max(within, closeGrace))()
		t.awaitPeerClose()
	}
}

// endOfReads is the cause of a context that ended, and reads that it bounds with it. The
// context of the connection, which ends when the peer hangs up, does not end those of
// what had come by then.
func (t *transport) endOfReads(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); !t.isHangUp(cause) {
		return cause
	}
	return nil
}
