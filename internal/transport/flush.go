package transport

// batchesAtOnce is how many batches Flush writes on its caller's goroutine, which has other things
// to do than to write what others enqueue in the meantime.
const batchesAtOnce = 4

// Flush begins to write what was enqueued, and waits for nothing: it writes what the socket takes
// at once, and leaves the rest to a goroutine. If another goroutine is writing, or the socket
// can't be tried, it leaves all of it. Any goroutine may call it; while one flushes, another call
// does nothing.
func (t *Conn) Flush() {
	q := t.queue.Made()
	switch {
	case q == nil || !q.begin():
	case t.Unwritable() != nil:
		q.abandon()
	case t.socket == nil || !t.tryLockBoth():
		go q.drain(t, false)
	default:
		q.flushNow(t)
	}
}

// flushNow is Flush with both locks, which it unlocks or leaves to the goroutine.
func (q *queue) flushNow(t *Conn) {
	more, full := true, false
	for n := 0; more && !full && n < batchesAtOnce; n++ {
		more, full = q.writeReady(t)
	}
	if !full { // otherwise the rest of a frame has to come next
		t.unlockBoth()
	}
	if more {
		go q.drain(t, full)
	}
}

// writeReady writes of the next batch what the socket takes without waiting. It reports whether
// there is more in the queue, and whether that is because the socket is full. Both locks are held.
func (q *queue) writeReady(t *Conn) (more, full bool) {
	if t.socket == nil || t.corked() { // what is held back comes first, and may have to wait
		return true, true
	}
	b := q.next(false)
	defer b.release()
	n := t.writeNow(b.p)
	return q.written(t, n), n < len(b.p)
}

// drain writes what was enqueued until the queue is empty or nothing can be written any more. If
// the socket was full a moment ago, it is called with both locks.
func (q *queue) drain(t *Conn, full bool) {
	drained := false
	defer func() {
		if !drained { // the connection has failed, or panicked
			q.abandon()
		}
	}()
	t.events.Guard(func() {
		more, err := true, error(nil)
		for ; more && err == nil; full = false {
			if !full {
				err = t.lockBoth()
			}
			if err == nil {
				more, err = q.writeBatch(t, full)
			}
		}
		drained = err == nil
	})
}

// writeBatch writes the next batch, and unlocks both locks. It reports whether there is more.
// While it waits for a socket that can be tried without waiting, it holds no memory but
// the frame, which all connections share: many connections may wait for slow peers.
func (q *queue) writeBatch(t *Conn, full bool) (more bool, err error) {
	defer t.unlockBoth()
	if !full {
		if more, full = q.writeReady(t); !full {
			return more, nil
		}
	}
	own := t.ownDeadline()
	if t.corked() {
		if err := t.uncorkHeld(&own, nil, nil); err != nil {
			return false, err
		}
	}
	b := q.next(t.socket != nil)
	defer b.release()
	if _, err := t.send(&own, b.p, nil); err != nil {
		return false, err
	}
	return q.written(t, len(b.p)), nil
}

// awaitFlush returns when the queue is empty, or the socket is closed. While a message is being
// streamed, which may never be complete, it returns at once: nothing is written behind it.
func (t *Conn) awaitFlush() {
	q := t.queue.Made()
	if q == nil || t.flags.has(writeStreamed) {
		return
	}
	t.Flush()
	if idle := q.flushed(); idle != nil {
		select {
		case <-idle:
		case <-t.Closed():
		}
	}
}

// stopFlushing returns when no goroutine flushes any more, and the queue is empty for good. The
// socket is closed.
func (t *Conn) stopFlushing() {
	t.Flush()
	if q := t.queue.Made(); q != nil {
		if idle := q.flushed(); idle != nil {
			<-idle
		}
	}
}
