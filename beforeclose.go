package websocket

import "github.com/goyave-contrib/websocket/internal/transport"

// BeforeClose registers f, which is called once when the connection begins to end, on a
// goroutine of the connection. Functions are called in the order in which they were
// registered.
//
// A close frame that this side has yet to send waits for f. If this side ends the connection,
// because Close or CloseNow is called or Serve has returned, f runs before the close frame:
// the messages that f enqueues are sent first (see [Conn.Enqueue]), and f has returned when
// Close returns.
//
// f must not block and must not close the connection. If f runs for as long as the close
// timeout, the socket is closed, and only the end of Serve still waits for f. A panic of f
// counts as a panic of Serve.
//
// BeforeClose returns false, and f is not called, if the connection has already begun to end.
// It may be called from any goroutine.
func (c *Conn) BeforeClose(f func()) bool {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false
	}
	if earlier := g.beforeClose; earlier != nil {
		g.beforeClose = func() {
			defer f() // also if the earlier one panics
			earlier()
		}
		return true
	}
	g.beforeClose = f
	return true
}

// beginClosing is the first step of closing the connection: from now on no read delivers a
// message. It waits until the hooks of BeforeClose have returned or the socket is closed. The
// caller must hold no lock.
func (c *Conn) beginClosing() {
	c.t.StopDelivering()
	c.startHooks()
	if c.group.hooksReturned.IsSet() {
		return
	}
	select {
	case <-c.group.hooksReturned.Done():
	case <-c.t.Closed():
	}
}

// cancelContext cancels the connection's context and starts the hooks of BeforeClose. It does
// not wait for the hooks: the caller may hold locks.
func (c *Conn) cancelContext(cause error) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	c.endLife(cause)
	c.startHooksLocked()
}

// startHooks starts the hooks of BeforeClose, once, and reports whether this call did so. It
// does not wait for the hooks.
func (c *Conn) startHooks() (first bool) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return c.startHooksLocked()
}

// startHooksLocked is startHooks for a caller that holds the mutex of the group. The hooks
// run on a goroutine of their own, because the caller may hold other locks, too.
func (c *Conn) startHooksLocked() (first bool) {
	g := &c.group
	if g.closing {
		return false
	}
	g.closing = true
	hooks := g.beforeClose
	g.beforeClose = nil
	if hooks == nil {
		g.hooksReturned.Set()
		return true
	}
	g.running.Go(func() { c.runHooks(hooks) })
	return true
}

// runHooks calls the hooks of BeforeClose. Close frames wait until the hooks return, but no
// longer than a closing handshake may take.
func (c *Conn) runHooks(hooks func()) {
	returned := &c.group.hooksReturned
	defer returned.Set()
	defer func() {
		if c.t.CloseChosen() { // close the queue now, whenever Close goes on
			c.t.CloseQueue()
		}
	}()
	defer c.afterFunc(max(c.GetCloseHandshakeTimeout(), transport.CloseGrace), func() {
		defer returned.Set()
		c.t.Abort()
	}).Stop()
	c.run(func() error {
		hooks()
		return nil
	})
}
