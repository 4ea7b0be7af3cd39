// Package transport is the engine: one connection of the WebSocket protocol, frame by frame. It reads and writes
// messages, keeps the deadlines, performs the closing handshake and records how the connection ended. It knows
// nothing of HTTP, of controllers, or of who is told.
package transport

import (
	"net"
	"sync/atomic"
	"time"
)

// Conn is the net.Conn that gorilla gets: the accepted connection, seen
// frame by frame. What it reads is checked and handed on one frame at a time, or
// read beside gorilla where a frame is a whole message; what is written to it
// leaves in whole frames, whoever writes. It knows how the connection ends, and
// nothing of handlers, contexts of requests or who is told.
//
// Three locks are held over I/O, those of a read, of a message that is written and of a
// frame of it: waiting for them is given up when the socket is closed. The mutex is held
// over memory only.
type Conn struct {
	nc      net.Conn // guarded
	begun   time.Time
	config  *Config
	client  bool // we are one: what we write is masked, what we read is not
	coarse  bool // a write deadline may stay: reads do not write, as those of TLS do
	deflate bool // permessage-deflate was agreed on
	open    bool // the 101 is written; set before anybody else has the transport

	// Of reading and writing; here, where they take no room.
	more  atomic.Bool  // another whole frame is in the read buffer
	under ioFlags      // what holds for the read and the write under way
	level atomic.Int32 // of compression, in package flate; for later messages

	events Events // noEvents until the 101 is written

	closeTimeout atomic.Int64 // nanoseconds; 0 or less: no waiting

	state
	reading
	writing
	counts counters
}

// New returns the transport of a connection of which early has been read. It replaces a
// connection that Strict returned.
func New(nc net.Conn, early []byte, config *Config) *Conn {
	nc = accepted(nc)
	t := &Conn{nc: Strict(nc, config.Panics), begun: time.Now(), config: config, client: config.Client, events: noEvents{}}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn: // and nothing else: TLS may be wrapped
		t.coarse = true
	}
	t.SetCloseTimeout(config.CloseTimeout)
	t.socket = rawConn(nc)
	t.watch = t.newWatch(nc)
	t.buffer = bufferWith(early, t.bufferSize())
	t.counts.bytesReceived.Add(uint64(len(early)))
	return t
}

// Start is called once, when the 101 is written, before anybody else has the transport.
func (t *Conn) Start(events Events) {
	t.events = events
	t.open = true
	t.sentAt.Store(int64(t.Age()))
}

// UseDeflate says that permessage-deflate was agreed on (RFC 7692). It must be called before
// Start.
func (t *Conn) UseDeflate() { t.deflate = true }

// IsClient reports whether we are the client: its frames are masked, each with a key of its
// own.
func (t *Conn) IsClient() bool { return t.client }

// NetConn returns the connection that was given to New.
func (t *Conn) NetConn() net.Conn { return accepted(t.nc) }

// Age is the time since the connection began.
func (t *Conn) Age() time.Duration { return time.Since(t.begun) }

// happens makes the transition of an event: it ends the context of the connection if that
// belongs to it, and then wakes the goroutines that wait for the event. It reports whether
// the event changed something. Locks may be held, but not the mutex.
func (t *Conn) happens(e stateEvent, err error) (changed bool) {
	changed = t.state.apply(e, err)
	if transitions[e].cancels {
		t.events.CancelContext(err)
	}
	t.state.wake()
	return changed
}

// Fail ends the connection because the socket failed: nothing can be written or read
// any more. It returns the first failure.
func (t *Conn) Fail(err *Error) error {
	event := eventFailure
	if err.Gone {
		event = eventPeerGone
	}
	t.happens(event, err)
	t.Abort()
	return t.failure
}

// closeLocal closes the socket without a closing handshake, as the application wants.
func (t *Conn) closeLocal() error {
	t.happens(eventCloseNow, ErrClosed)
	return t.close()
}

// close closes the socket. All calls return when it is closed, with the same error.
func (t *Conn) close() error {
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
func (t *Conn) release() {
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

// Abort closes the socket at once, without the alert that TLS would first send.
func (t *Conn) Abort() {
	closeBeneath(t.nc)
	_ = t.close()
}

// isPanic reports whether a call of the socket panicked.
func (t *Conn) isPanic(err error) bool { return err != nil && t.config.Panics.Is(err) }

// Panicked returns the first panic of the net.Conn beneath, nil if there was none.
func (t *Conn) Panicked() error {
	if c, ok := t.nc.(*strictConn); ok {
		if first := c.panicked.Load(); first != nil {
			return *first
		}
	}
	return nil
}

// StopBackground returns when no goroutine and no timer of the transport runs any more, or
// ever will. The socket is closed.
func (t *Conn) StopBackground() {
	t.stopFlushing()
	t.ensureCork().timer.Stop() // which makes one, lest a frame that is held back later sets it
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

// localAddr is never nil.
func (t *Conn) localAddr() net.Addr { return known(t.nc.LocalAddr()) }

// remoteAddr is never nil, either.
func (t *Conn) remoteAddr() net.Addr { return known(t.nc.RemoteAddr()) }
