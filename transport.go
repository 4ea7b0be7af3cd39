package websocket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// transport is the net.Conn that gorilla gets: the accepted connection, seen
// frame by frame. What it reads is checked and handed on one frame at a time, or
// read beside gorilla where a frame is a whole message; what is written to it
// leaves in whole frames, whoever writes. It knows how the connection ends, and
// nothing of handlers, contexts of requests or who is told.
//
// Three locks are held over I/O, those of a read, of a message that is written and of a
// frame of it: waiting for them is given up when the socket is closed. The mutex is held
// over memory only.
type transport struct {
	nc      net.Conn // guarded
	begun   time.Time
	config  *config
	client  bool // we are one: what we write is masked, what we read is not
	coarse  bool // a write deadline may stay: reads do not write, as those of TLS do
	deflate bool // permessage-deflate was agreed on
	open    bool // the 101 is written; set before anybody else has the transport

	// Of reading and writing; here, where they take no room.
	more  atomic.Bool  // another whole frame is in the read buffer
	under ioFlags      // what holds for the read and the write under way
	level atomic.Int32 // of compression, in package flate; for later messages

	events events // noEvents until the 101 is written

	closeTimeout atomic.Int64 // nanoseconds; 0 or less: no waiting

	state
	reading
	writing
	counts counters
}

// newTransport returns the transport of a connection of which early has been read.
func newTransport(nc net.Conn, early []byte, config *config) *transport {
	t := &transport{nc: strict(nc, config.Panics), begun: time.Now(), config: config, events: noEvents{}}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn: // and nothing else: TLS may be wrapped
		t.coarse = true
	}
	t.closeTimeout.Store(int64(config.CloseTimeout))
	t.socket = rawConn(nc)
	t.watch = t.newWatch(nc)
	t.buffer = bufferWith(early, t.bufferSize())
	t.counts.BytesReceived.Add(uint64(len(early)))
	return t
}

// start is called once, when the 101 is written, before anybody else has the transport.
func (t *transport) start(events events) {
	t.events = events
	t.open = true
	t.sentAt.Store(int64(t.age()))
}

// age is the time since the connection began.
func (t *transport) age() time.Duration { return time.Since(t.begun) }

// happens makes the transition of an event: it ends the context of the connection if that
// belongs to it, and then wakes the goroutines that wait for the event. It reports whether
// the event changed something. Locks may be held, but not the mutex.
func (t *transport) happens(e stateEvent, err error) (changed bool) {
	changed = t.state.apply(e, err)
	if transitions[e].cancels {
		t.events.CancelContext(err)
	}
	t.state.wake()
	return changed
}

// fail ends the connection because the socket failed: nothing can be written or read
// any more. It returns the first failure.
func (t *transport) fail(err *ioError) error {
	event := eventFailure
	if err.gone {
		event = eventPeerGone
	}
	t.happens(event, err)
	t.abort()
	return t.failure
}

// errClosed is net.ErrClosed, of a connection of ours.
var errClosed = fmt.Errorf("websocket: %w", net.ErrClosed)

// closeLocal closes the socket without a closing handshake, as the application wants.
func (t *transport) closeLocal() error {
	t.happens(eventCloseNow, errClosed)
	return t.close()
}

// close closes the socket. All calls return when it is closed, with the same error.
func (t *transport) close() error {
	if t.happens(eventSocketClosed, nil) {
		t.release()
	}
	<-t.released.Done()
	if t.closeErr != nil {
		return *t.closeErr
	}
	return nil
}

// release stops the timers that would close the socket, and closes it.
func (t *transport) release() {
	defer t.released.Set()
	t.events.SocketClosing()
	t.mu.Lock()
	if t.expiry != nil {
		t.expiry.timer.Cancel()
	}
	t.mu.Unlock()
	if t.watch != nil {
		t.watch.timer.Cancel()
	}
	if err := t.nc.Close(); err != nil {
		t.closeErr = &err
	}
}

// abort closes the socket at once, without the alert that TLS would first send.
func (t *transport) abort() {
	closeBeneath(t.nc)
	_ = t.close()
}

// isPanic reports whether a call of the socket panicked.
func (t *transport) isPanic(err error) bool { return err != nil && t.config.Panics.Is(err) }

// panicked returns the first panic of the net.Conn beneath, nil if there was none.
func (t *transport) panicked() error {
	if c, ok := t.nc.(*strictConn); ok {
		if first := c.panicked.Load(); first != nil {
			return *first
		}
	}
	return nil
}

// abortAfter aborts the socket after d, unless stop is called before. It bounds what the
// caller does next.
func (t *transport) abortAfter(d time.Duration) (stop func() bool) {
	return time.AfterFunc(d, func() { t.events.Guard(t.abort) }).Stop
}

// expire aborts the socket after the close timeout, unless it is closed before. It is for a
// close frame that was written without Close, so that no closing handshake bounds the wait
// for the answer.
func (t *transport) expire() { t.expireAfter(max(time.Duration(t.closeTimeout.Load()), 0)) }

func (t *transport) expireAfter(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry == nil && !t.isClosed() {
		t.expiry = &expiry{t: t}
		t.expiry.timer.Reset(d, t.expiry)
	}
}

// cancelExpiry takes back what expireAfter did.
func (t *transport) cancelExpiry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry != nil {
		t.expiry.timer.Cancel()
		t.expiry = nil
	}
}

// stopBackground returns when no goroutine and no timer of the transport runs any more, or
// ever will. The socket is closed.
func (t *transport) stopBackground() {
	t.stopFlushing()
	t.theCork().timer.Stop() // which makes one, lest a frame that is held back later sets it
	t.mu.Lock()
	e := t.expiry
	t.mu.Unlock()
	if e != nil {
		e.timer.Stop()
	}
	if t.watch != nil {
		t.watch.timer.Stop()
	}
}

// An expiry aborts the socket of a connection that has not ended in time.
type expiry struct {
	t     *transport
	timer xsync.Timer
}

// Fire aborts the socket. If the peer hung up, its close frame is looked for first.
func (e *expiry) Fire() {
	e.t.events.Guard(func() {
		defer e.t.abort()
		e.t.findPeerClose(closeGrace)
	})
}

// localAddr is never nil.
func (t *transport) localAddr() net.Addr { return known(t.nc.LocalAddr()) }

// remoteAddr is never nil, either.
func (t *transport) remoteAddr() net.Addr { return known(t.nc.RemoteAddr()) }

// An ioError is a read or write that failed on the wire. It is a net.Error and
// wraps its cause.
type ioError struct {
	op   string // "read" or "write"
	err  error
	gone bool // the peer vanished; false for a deadline or context of the caller's
}

func (e *ioError) Error() string { return "websocket: " + e.op + ": " + e.err.Error() }
func (e *ioError) Unwrap() error { return e.err }
func (e *ioError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.err, &timeout) && timeout.Timeout()
}
func (e *ioError) Temporary() bool { return false }

var _ net.Error = (*ioError)(nil)

// isDeadline reports whether a call of the socket failed because of a deadline
// that was set. The network has timeouts of its own: they mean that the peer is
// gone.
func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
