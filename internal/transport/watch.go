package transport

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// A watch checks for progress on a connection on which a write that timed out can't be resumed, as
// with TLS, but beneath which there is a socket. While a write waits, its deadline is renewed
// whenever the kernel has less, or other bytes, to send than at the check before.
type watch struct {
	t      *Conn
	socket syscall.RawConn
	timer  xsync.Timer

	mu      sync.Mutex
	ctx     context.Context // of the write under way; nil: there is none
	timeout time.Duration   // of that write
	ticking bool            // the timer is set
	unsent  int             // bytes in the kernel at the last check
	known   bool            // there was a check, and it told
}

// watch returns the watch of the connection, nil if it has none.
func (t *Conn) watch() *watch {
	if s := t.settings.Made(); s != nil {
		return s.watch
	}
	return nil
}

// newWatch returns nil if writes have no timeout, or there is no socket.
func (t *Conn) newWatch(nc net.Conn) *watch {
	if t.config.WriteTimeout <= 0 {
		return nil
	}
	var socket syscall.RawConn
	strictconn.Survives(func() { socket = socketBeneath(nc) })
	if socket == nil {
		return nil
	}
	return &watch{t: t, socket: socket}
}

// HasSocket reports whether the connection is a socket of the system, or is known to write to one.
func (t *Conn) HasSocket() (has bool) {
	if t.coarse {
		return true
	}
	strictconn.Survives(func() { has = socketBeneath(strictconn.Unwrap(t.nc)) != nil })
	return has
}

// socketBeneath returns the socket that a connection writes to, nil if it has none or does not
// show it.
func socketBeneath(nc net.Conn) syscall.RawConn {
	for range 8 { // TLS, beneath it the TLS of a proxy, and wrappers
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

// begin sets the deadline of a write, or of the rest of one. frameLock is held.
func (w *watch) begin(b *WriteDeadline) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.timeout, w.known = b.ctx, b.timeout, false
	if !w.ticking {
		w.ticking = true
		w.timer.Reset(w.interval(), w)
	}
	return w.t.extend(w.timeout)
}

// end takes the deadline back.
func (w *watch) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = nil
	return w.t.setDeadline(time.Time{})
}

// interval returns the time between two checks.
func (w *watch) interval() time.Duration { return max(w.timeout/progressChecks, 1) }

// Fire checks for progress.
func (w *watch) Fire() { w.t.events.Guard(w.check) }

// check renews the deadline of the write under way if the kernel has sent something. If there is
// no write, the timer stays off until the next one.
func (w *watch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		w.ticking = false
		return
	}
	before, known := w.unsent, w.known
	w.unsent, w.known = unsentOf(w.socket)
	if known && w.known && w.unsent != before {
		w.t.noteProgress()
		at := time.Now().Add(w.timeout)
		_ = w.t.nc.SetWriteDeadline(at)
		if w.ctx.Err() != nil { // boundWrite may have interrupted the write before
			_ = w.t.nc.SetWriteDeadline(longAgo)
		}
	}
	w.timer.Reset(w.interval(), w)
}
