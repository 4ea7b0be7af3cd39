package websocket

// BeforeClose has f called, once, when the connection begins to end. Where that is
// decided here, because Close or CloseNow is called or Serve has returned, f is called
// by the goroutine that ends the connection, before the close frame: what f enqueues is
// sent first (see [Conn.Enqueue]), and when Close returns f has returned. Where something
// else ends the connection's context (a close frame, a failure, Shutdown), f is called
// in a goroutine of its own, and a close frame of ours that is still to come waits for
// it. The functions are called in the order of the calls of BeforeClose.
//
// f must wait for nothing, and must not close the connection: if it takes as long as the
// close timeout, the socket is closed. Its panic counts as one of Serve. BeforeClose
// returns false, and f is not called, if the connection has begun to end. It may be called
// from any goroutine.
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

// beginClosing is the first thing that is done to close the connection: from now on
// no read delivers a message. When it returns, what BeforeClose was given has been
// called. No lock is held.
func (c *Conn) beginClosing() {
	c.closing.Store(true)
	g := &c.group
	if f, first := g.begin(); first {
		c.callBefore(f)
	} else if !g.begun.hasHappened() {
		select {
		case <-g.begun.wait():
		case <-c.t.closed.wait():
		}
	}
}

// cancelContext ends the context of the connection, which begins to end with it.
func (c *Conn) cancelContext(cause error) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	c.life().cancel(cause)
	switch f, first := g.beginLocked(); {
	case !first:
	case f == nil:
		g.begun.happen()
	default: // the caller may hold locks
		g.running.Go(func() { c.callBefore(f) })
	}
}

func (g *group) begin() (f func(), first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.beginLocked()
}

// beginLocked reports whether it is the caller who has the connection begin to end,
// and who must see to it that f, if it is not nil, is called. The mutex is held.
func (g *group) beginLocked() (f func(), first bool) {
	if g.closing {
		return nil, false
	}
	f, g.before = g.before, nil
	g.closing = true
	return f, true
}

// callBefore calls what BeforeClose was given. Somebody waits for it, perhaps the
// goroutine that is to close the socket.
func (c *Conn) callBefore(f func()) {
	defer c.group.begun.happen()
	if f == nil {
		return
	}
	defer c.t.cutAfter(max(c.GetCloseHandshakeTimeout(), closeGrace))()
	c.run(func() error {
		f()
		return nil
	})
}

// delivers reports whether reads deliver messages: not once we have begun to close the
// connection.
func (c *Conn) delivers() bool { return !c.closing.Load() && !c.t.closeBegun.Load() }
