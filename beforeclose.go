package websocket

import "github.com/goyave-contrib/websocket/internal/transport"

// BeforeClose has f called, once, when the connection begins to end, in a goroutine of the
// connection. Close frames of ours that are still to come wait for it. Where the end is
// decided here, because Close or CloseNow is called or Serve has returned, that is before
// the close frame: what f enqueues is sent first (see [Conn.Enqueue]), and when Close
// returns f has returned. The functions are called in the order of the calls of
// BeforeClose.
//
// f must not wait for anything, and must not close the connection: if it takes as long as
// the close timeout, the socket is closed, and only the end of Serve goes on waiting for f.
// A panic of f counts as one of Serve. BeforeClose returns false, and f is not called, if
// the connection has begun to end. It may be called from any goroutine.
func (c *Conn) BeforeClose(f func()) bool {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false
	}
	if earlier := g.before; earlier != nil {
		g.before = func() {
			defer f() // also if the earlier one panics
			earlier()
		}
		return true
	}
	g.before = f
	return true
}

// beginClosing is the first step of closing the connection: from now on no read delivers a
// message. It returns when the functions given to BeforeClose have returned, or the socket
// is closed. The caller must hold no lock.
func (c *Conn) beginClosing() {
	c.t.Happens(transport.EventClosing, nil)
	c.begin()
	if c.group.begun.IsSet() {
		return
	}
	select {
	case <-c.group.begun.Done():
	case <-c.t.Closed.Done():
	}
}

// cancelContext cancels the connection's context, and has the connection begin to end. The
// caller may hold locks.
func (c *Conn) cancelContext(cause error) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	c.life().cancel(cause)
	c.beginLocked()
}

// begin has the connection begin to end, and reports whether this call did so.
func (c *Conn) begin() (first bool) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return c.beginLocked()
}

// beginLocked is begin with the mutex held. The functions given to BeforeClose run in a
// goroutine: the caller may hold locks, and must not wait for them.
func (c *Conn) beginLocked() (first bool) {
	g := &c.group
	if g.closing {
		return false
	}
	g.closing = true
	f := g.before
	g.before = nil
	if f == nil {
		g.begun.Set()
		return true
	}
	g.running.Go(func() { c.callBefore(f) })
	return true
}

// callBefore calls f, the functions given to BeforeClose. Close frames wait until it returns,
// but no longer than a closing handshake may take.
func (c *Conn) callBefore(f func()) {
	begun := &c.group.begun
	defer begun.Set()
	defer func() {
		if c.t.Has(transport.FactCloseCalled) { // nothing is enqueued from here on, whenever Close goes on
			c.t.Happens(transport.EventQueueClosed, nil)
		}
	}()
	defer c.afterFunc(max(c.GetCloseHandshakeTimeout(), transport.CloseGrace), func() {
		defer begun.Set()
		c.t.Abort()
	}).Stop()
	c.run(func() error {
		f()
		return nil
	})
}
