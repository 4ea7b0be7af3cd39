package websocket

import "context"

// batchesAtOnce is how many batches are written on the goroutine that flushes: it has
// other things to do than to write what others enqueue meanwhile.
const batchesAtOnce = 4

// flush writes what the socket takes at once, and leaves the rest to a goroutine. So
// it does where somebody else is writing, or nothing can be written without waiting.
func (c *Conn) flush(q *queue) {
	t := c.t
	if t.buffer.raw == nil || !c.message.try() {
		go c.drain(q, batch{}, 0)
		return
	}
	if !t.writing.lock.try() {
		c.unlockMessage()
		go c.drain(q, batch{}, 0)
		return
	}
	var b batch
	if t.cork.held == nil && t.unwritable() == nil {
		for range batchesAtOnce {
			var ok bool
			if b, ok = q.next(b); !ok {
				c.unlockFrames()
				return
			}
			n := t.writeNow(b.p)
			if n < len(b.p) { // the rest of a frame comes before anything else
				go c.drain(q, b, n)
				return
			}
			t.counts.messagesSent.Add(uint64(b.frames))
		}
	}
	c.unlockFrames()
	go c.drain(q, b, len(b.p))
}

// unlockFrames gives back the locks of a writer of whole frames.
func (c *Conn) unlockFrames() {
	c.t.unlockWrite()
	c.unlockMessage()
}

// drain writes what waits, as the flusher. Where it begins within a batch, of which n
// bytes are written, it has the locks.
func (c *Conn) drain(q *queue, b batch, n int) {
	recovered(func() error {
		locked := n < len(b.p)
		for {
			if locked {
				if err := c.drainBatch(b, n); err != nil {
					b.giveBack()
					return err
				}
			}
			var ok bool
			if b, ok = q.next(b); !ok {
				return nil
			}
			if err := c.lockFrames(); err != nil {
				b.giveBack()
				return err
			}
			locked, n = true, 0
		}
	}, func(err error) {
		if err == nil {
			return
		}
		if isPanic(err) { // in a function of the connection
			c.goroutineEnded(err)
		}
		q.abandon()
	})
}

// lockFrames waits for the locks for as long as anything can be written.
func (c *Conn) lockFrames() error {
	unbounded := bound{ctx: context.Background()}
	if err := c.t.wait(&c.message, &unbounded); err != nil {
		return err
	}
	if err := c.t.lockWrite(&unbounded); err != nil {
		c.unlockMessage()
		return err
	}
	return nil
}

// drainBatch writes the rest of a batch and gives the locks back.
func (c *Conn) drainBatch(b batch, n int) error {
	defer c.unlockFrames()
	t := c.t
	own := t.ownBound()
	if t.cork.held != nil {
		if err := t.uncorkHeld(&own, nil, nil); err != nil {
			return err
		}
	}
	if _, err := t.send(&own, b.p[n:], nil); err != nil {
		return err
	}
	t.counts.messagesSent.Add(uint64(b.frames))
	return nil
}

// awaitFlush returns when nothing waits to be written any more, or the socket is
// closed.
func (c *Conn) awaitFlush() {
	q := c.queue.Load()
	if q == nil {
		return
	}
	c.Flush()
	if idle := q.flushed(); idle != nil {
		select {
		case <-idle:
		case <-c.t.closed:
		}
	}
}

// stopFlushing returns when nobody flushes any more. The socket is closed.
func (c *Conn) stopFlushing() {
	if q := c.queue.Load(); q != nil {
		if idle := q.flushed(); idle != nil {
			<-idle
		}
	}
}
