package transport

// batchesAtOnce is how many batches are written on the goroutine that flushes: it has
// other things to do than to write what others enqueue meanwhile.
const batchesAtOnce = 4

// Flush begins to write what waits in the queue. It writes what the socket takes at once, and leaves the
// rest to a goroutine. So it does where another goroutine is writing, or where nothing can
// be written without waiting.
func (t *Conn) Flush() {
	q := t.Queue.Load()
	if q == nil || !q.begin() {
		return
	}
	switch {
	case t.Unwritable() != nil:
		q.abandon()
	case t.socket == nil || !t.tryLockBoth():
		go q.drain(t, false)
	default:
		q.flushNow(t)
	}
}

// flushNow is flush with both locks, which it gives back or leaves to the goroutine.
func (q *queue) flushNow(t *Conn) {
	if t.Unwritable() != nil { // since the locks are ours
		t.unlockBoth()
		q.abandon()
		return
	}
	for range batchesAtOnce {
		n, all := q.writeReady(t)
		more := q.written(t, n)
		if more && !all { // the rest of a frame comes before anything else
			go q.drain(t, true)
			return
		}
		if !more {
			t.unlockBoth()
			return
		}
	}
	t.unlockBoth()
	go q.drain(t, false)
}

// writeReady writes of the next batch what the socket takes without waiting. It returns
// how many bytes, and whether that is all of the batch. Both locks are held.
func (q *queue) writeReady(t *Conn) (n int, all bool) {
	if t.socket == nil || t.Holds() { // what is held comes first, and may have to wait
		return 0, false
	}
	b := q.batch()
	defer b.giveBack()
	n = t.writeNow(b.p)
	return n, n == len(b.p)
}

// drain writes what waits, as the flusher. Where the socket took no more a moment ago, it is
// called with both locks.
func (q *queue) drain(t *Conn, locked bool) {
	empty := false
	defer func() {
		if !empty { // the connection has failed, or panicked
			q.abandon()
		}
	}()
	t.events.Guard(func() { empty = q.writeAll(t, locked) == nil })
}

// writeAll is drain but for what follows an error.
func (q *queue) writeAll(t *Conn, locked bool) error {
	for {
		ready := !locked
		if !locked { // memory is taken when it can be used
			if err := t.lockBoth(); err != nil {
				return err
			}
		}
		locked = false
		n, err := q.writeBatch(t, ready)
		if err != nil {
			return err
		}
		if !q.written(t, n) {
			return nil
		}
	}
}

// writeBatch writes a batch, whose bytes it returns, and gives both locks back. It waits for
// the socket with no memory but that of a single strip, where the socket can be tried: many
// connections may wait like this.
func (q *queue) writeBatch(t *Conn, ready bool) (n int, err error) {
	defer t.unlockBoth()
	if ready {
		n, all := q.writeReady(t)
		if all {
			return n, nil
		}
		q.written(t, n) // there is more
	}
	own := t.ownDeadline()
	if t.Holds() {
		if err := t.uncorkHeld(&own, nil, nil); err != nil {
			return 0, err
		}
	}
	var b batch
	if t.socket != nil {
		b = q.first()
	} else {
		b = q.batch()
	}
	defer b.giveBack()
	_, err = t.send(&own, b.p, nil)
	return len(b.p), err
}

// AwaitFlush returns when nothing waits to be written any more, or the socket is closed.
// Behind a message that is being streamed, which may never be complete, nothing is written.
func (t *Conn) AwaitFlush() {
	q := t.Queue.Load()
	if q == nil || t.under.has(writeStreamed) {
		return
	}
	t.Flush()
	if idle := q.flushed(); idle != nil {
		select {
		case <-idle:
		case <-t.closed.Done():
		}
	}
}

// stopFlushing returns when nobody flushes any more, and nothing is left to. The socket is
// closed.
func (t *Conn) stopFlushing() {
	t.Flush()
	if q := t.Queue.Load(); q != nil {
		if idle := q.flushed(); idle != nil {
			<-idle
		}
	}
}
