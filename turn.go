package websocket

import "sync/atomic"

// A turn is a lock that is held over I/O: who waits for it may give up, and those
// who wait get it in the order in which they came. The zero value is free. Taking a
// free one and giving it back costs two atomic operations.
type turn struct {
	n    atomic.Int32                  // who has it and who waits for it
	pass atomic.Pointer[chan struct{}] // where it is passed on; made by the first who waits
}

// try takes the turn if it is free.
func (t *turn) try() bool { return t.n.CompareAndSwap(0, 1) }

// queue waits for the turn: it has come when the channel is received from. Who
// does not want to wait any longer must call leave instead.
func (t *turn) queue() <-chan struct{} {
	if t.pass.Load() == nil {
		pass := make(chan struct{}, 1)
		t.pass.CompareAndSwap(nil, &pass)
	}
	pass := *t.pass.Load()
	if t.n.Add(1) == 1 {
		pass <- struct{}{} // nobody has it
	}
	return pass
}

// leave gives up waiting. If the turn has come meanwhile, it is passed on.
func (t *turn) leave() {
	for {
		n := t.n.Load()
		if n == 1 { // nobody else is left: it was passed to us
			<-*t.pass.Load()
			t.give()
			return
		}
		if t.n.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// awaited reports whether somebody waits for the turn, which the caller has.
func (t *turn) awaited() bool { return t.n.Load() > 1 }

// give passes the turn to who has waited for longest, if anybody does.
func (t *turn) give() {
	if t.n.Add(-1) > 0 {
		*t.pass.Load() <- struct{}{} // there is room: only who has the turn sends
	}
}
