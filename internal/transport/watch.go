package transport

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// A watch is for a connection on which a write that timed out can't go on, as with TLS,
// but beneath which there is a socket: while a write waits, its deadline is renewed
// whenever the kernel has less, or other bytes, to send than at the look before.
type watch struct {
	t      *Conn
	socket syscall.RawConn
	timer  xsync.Timer

	mu      sync.Mutex
	ctx     context.Context // of the write under way; nil: there is none
	within  time.Duration   // that it has
	ticking bool            // the timer is set
	unsent  int             // at the last look
	known   bool            // there was one
}

// newWatch returns nil where there is nothing to watch.
func (t *Conn) newWatch(nc net.Conn) *watch {
	if t.coarse || t.config.WriteTimeout <= 0 {
		return nil
	}
	var socket syscall.RawConn
	survives(func() { socket = socketBeneath(nc) })
	if socket == nil {
		return nil
	}
	return &watch{t: t, socket: socket}
}

// socketBeneath is the socket that a connection writes to, nil where it has none or
// does not show it.
func socketBeneath(nc net.Conn) syscall.RawConn {
	for range 8 { // TLS, and beneath it that of a proxy, and wrappers
		switch outer := nc.(type) {
		case interface{ NetConn() net.Conn }:
			nc = outer.NetConn()
		case syscall.Conn:
			raw, err := outer.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		default:
			return nil
		}
	}
	return nil
}

// begin sets the deadline of a write that begins, or of the rest of one. The write lock
// is held.
func (w *watch) begin(b *WriteDeadline) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.within, w.known = b.ctx, b.timeout, false
	if !w.ticking {
		w.ticking = true
		w.timer.Reset(w.look(), w)
	}
	return w.t.extend(w.within)
}

// end takes the deadline back.
func (w *watch) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = nil
	return w.t.set(time.Time{})
}

func (w *watch) look() time.Duration { return max(w.within/looks, 1) }

// Fire looks.
func (w *watch) Fire() { w.t.events.Guard(w.lookNow) }

// lookNow looks. Where no write is under way, the next one sets the timer again.
func (w *watch) lookNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		w.ticking = false
		return
	}
	before, known := w.unsent, w.known
	w.unsent, w.known = unsentOf(w.socket)
	if known && w.known && w.unsent != before {
		w.t.tookSome()
		at := time.Now().Add(w.within)
		_ = w.t.nc.SetWriteDeadline(at)
		if w.ctx.Err() != nil { // it has been interrupted, perhaps before that
			_ = w.t.nc.SetWriteDeadline(longAgo)
		}
	}
	w.timer.Reset(w.look(), w)
}
