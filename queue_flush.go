package websocket

import "context"

// batchesAtOnce is how many batches are written on the goroutine that flushes: it has
// other things to do than to write what others enqueue meanwhile.
const batchesAtOnce = 4

// flush writes what the socket takes at once, and leaves the rest to a goroutine. So
// it does where somebody else is writing, or nothing can be written without waiting.
func (c *Conn) flush(q *queue) {
	switch {
	case c.t.unwritable() != nil:
		q.abandon()
	case c.t.socket == nil || !c.tryLockFrames():
		go c.drain(q, batch{}, 0)
	default:
		c.flushNow(q)
	}
}

// flushNow is flush with the locks, which it gives back or leaves to the goroutine.
func (c *Conn) flushNow(q *queue) {
	t := c.t
	if t.unwritable() != nil { // since the locks are ours
		c.unlockFrames()
		q.abandon()
		return
	}
	for range batchesAtOnce {
		b, n := c.writeNext(q)
		if n < len(b.p) { // the rest of a frame comes before anything else
			go c.drain(q, b, n)
			return
		}
		t.sent(uint64(b.frames))
		if !q.written(b) {
			c.unlockFrames()
			return
		}
	}
	c.unlockFrames()
	go c.drain(q, batch{}, 0)
}

// writeNext writes of the next batch what the socket takes at once. Of what is left, it
// returns one frame, and how much of that is written: many connections may wait with it.
func (c *Conn) writeNext(q *queue) (b batch, n int) {
	t := c.t
	b = q.take()
	if t.socket == nil {
		return b, 0
	}
	if !t.holds() { // it comes first, and may have to wait
		n = t.writeNow(b.p)
	}
	if n < len(b.p) {
		var whole int
		b, n, whole = q.trim(b, n)
		t.sent(uint64(whole))
	}
	return b, n
}

// tryLockFrames takes the locks of a writer of whole frames if they are free.
func (c *Conn) tryLockFrames() bool {
	if !c.t.messageLock.TryLock() {
		return false
	}
	if !c.t.frameLock.TryLock() {
		c.t.unlockMessage()
		return false
	}
	return true
}

// unlockFrames gives back the locks of a writer of whole frames.
func (c *Conn) unlockFrames() {
	c.t.unlockWrite()
	c.t.unlockMessage()
}

// drain writes what waits, as the flusher. Where it begins within a batch, of which n
// bytes are written, it has the locks.
func (c *Conn) drain(q *queue, b batch, n int) {
	recovered(func() error { return c.drainQueue(q, b, n) }, func(err error) {
		if err == nil {
			return
		}
		if isPanic(err) { // in a function of the connection
			c.goroutineEnded(err)
		}
		q.abandon()
	})
}

func (c *Conn) drainQueue(q *queue, b batch, n int) error {
	for {
		if b.strips == 0 { // memory is taken when it can be used
			if err := c.lockFrames(); err != nil {
				return err
			}
			b, n = c.writeNext(q)
		}
		if err := c.drainBatch(b, n); err != nil {
			b.giveBack()
			return err
		}
		if !q.written(b) {
			return nil
		}
		b = batch{}
	}
}

// lockFrames waits for the locks for as long as anything can be written.
func (c *Conn) lockFrames() error {
	unbounded := bound{ctx: context.Background()}
	if err := c.t.wait(&c.t.messageLock, &unbounded); err != nil {
		return err
	}
	if err := c.t.lockWrite(&unbounded); err != nil {
		c.t.unlockMessage()
		return err
	}
	return nil
}

// drainBatch writes the rest of a batch and gives the locks back.
func (c *Conn) drainBatch(b batch, n int) error {
	defer c.unlockFrames()
	t := c.t
	own := t.ownBound()
	if t.holds() {
		if err := t.uncorkHeld(&own, nil, nil); err != nil {
			return err
		}
	}
	if n < len(b.p) {
		if _, err := t.send(&own, b.p[n:], nil); err != nil {
			return err
		}
	}
	t.sent(uint64(b.frames))
	return nil
}

// awaitFlush returns when nothing waits to be written any more, or the socket is
// closed. Behind a message that is being streamed, which may never be complete, nothing
// is written.
func (c *Conn) awaitFlush() {
	q := c.queue.Load()
	if q == nil || c.t.streaming.Load() {
		return
	}
	c.Flush()
	if idle := q.flushed(); idle != nil {
		select {
		case <-idle:
		case <-c.t.closed.Done():
		}
	}
}

// stopFlushing returns when nobody flushes any more, and nothing is left to. The socket
// is closed.
func (c *Conn) stopFlushing() {
	c.Flush()
	if q := c.queue.Load(); q != nil {
		if idle := q.flushed(); idle != nil {
			<-idle
		}
	}
}
