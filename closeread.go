package websocket

import "context"

// CloseRead is for connections that are only written to. It reads in a goroutine
// of the connection, so that pings are answered and the peer's close frame is
// seen; a text or binary message ends the connection with code 1008. The
// connection must not be read otherwise any more.
//
// The context that it returns is derived from ctx and ends with the connection,
// with the cause of its context. If ctx ends, so does the reading: pings are no
// longer answered, and all that is left is to write and to close. A second call
// returns the context of the first. It may be called from any goroutine.
func (c *Conn) CloseRead(ctx context.Context) context.Context {
	derived, cancel := context.WithCancelCause(ctx)
	if !c.closeRead.CompareAndSwap(nil, &derived) {
		cancel(nil)
		return *c.closeRead.Load()
	}
	c.whenDone(c.Context(), func() { cancel(context.Cause(c.Context())) })
	c.Go(func(context.Context) error {
		_, _, err := c.NextReaderContext(ctx)
		switch {
		case err == nil:
			return c.Close(ClosePolicyViolation, "unexpected data message")
		case ctx.Err() != nil:
			return nil // the caller's own doing
		default:
			return err
		}
	})
	return derived
}
