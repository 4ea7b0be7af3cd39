package transport

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// Conn is one connection of the WebSocket protocol. The package comment says which goroutine
// may call what.
//
// A Conn fills a size class of Go's allocator: TestConnectionsAreSmall of the root checks it.
type Conn struct {
	nc     net.Conn      // what New was given, made strict
	begun  time.Duration // the time from epoch to New
	config *Config
	client bool // this end is the client: it masks what it writes, and the peer does not
	coarse bool // a plain socket: its write deadline may stay set, because its reads never write
	open   bool // the opening handshake is complete; set by Open

	flags ioFlags // properties of the read and the write in progress; here it fills a gap

	events Events // noEvents until SetEvents

	deflating *deflating           // nil unless permessage-deflate was negotiated
	settings  xsync.Lazy[settings] // made when the first of them is set

	state
	reading
	writing
	counts counters
}

// New returns a Conn over nc, from which the bytes of early were read already. If nc is a
// [strictconn.Conn], the connection beneath is taken instead.
func New(nc net.Conn, early []byte, config *Config) *Conn {
	nc = strictconn.Unwrap(nc)
	t := &Conn{
		nc: strictconn.Wrap(nc, config.Panics), begun: time.Since(epoch),
		config: config, client: config.Client, events: noEvents{},
	}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn: // a type that wraps one may do TLS
		t.coarse = true
	default:
		if w := t.newWatch(nc); w != nil {
			t.ensureSettings().watch = w
		}
	}
	t.socket = rawConn(nc)
	t.buffer = bufferWith(early, t.bufferSize())
	t.counts.bytesReceived.Add(uint64(len(early)))
	return t
}

// SetEvents makes the Conn report to events. It is called once, before other goroutines have the
// Conn.
func (t *Conn) SetEvents(events Events) { t.events = events }

// Open says that the opening handshake is complete. Only the goroutine that does the handshake may
// call it, before any goroutine reads or writes messages.
func (t *Conn) Open() {
	t.open = true
	t.sentAt.Store(int64(t.Age()))
}

// WriteResponse writes the response of a server to the opening handshake, in the time given; zero
// or less means no bound. It also takes back the deadlines that the HTTP server has left. If it
// fails, the caller must abort the Conn.
func (t *Conn) WriteResponse(p []byte, timeout time.Duration) error {
	if t.socket != nil {
		_ = t.nc.SetDeadline(time.Time{})
		if p = p[t.tryWrite(p):]; len(p) == 0 { // there is room in a new socket
			return nil
		}
	}
	_ = t.nc.SetReadDeadline(time.Time{}) // a read that it bounds all the same fails
	var at time.Time
	if timeout > 0 {
		at = time.Now().Add(timeout)
	}
	t.boundResponse(at)
	_, err := t.nc.Write(p)
	switch {
	case at.IsZero():
	case t.coarse: // the next write sets its own
		t.armed = t.ageAt(at)
	default:
		t.boundResponse(time.Time{})
	}
	return err
}

// IsClient reports whether this end is the client, which masks each frame with a new key (RFC
// 6455, 5.3).
func (t *Conn) IsClient() bool { return t.client }

// NetConn returns the connection that was given to New. From then on the Conn is not parked: if the
// application closes the connection, only a goroutine that waits for it notices.
func (t *Conn) NetConn() net.Conn {
	if !t.flags.has(socketShown) {
		t.flags.set(socketShown)
		t.unpark()
	}
	return strictconn.Unwrap(t.nc)
}

// epoch is the time from which connections count. It is a part of all of them, and so each has only
// the time since then.
var epoch = time.Now()

// Age returns the time since New was called. Other times of a Conn are such ages, too.
func (t *Conn) Age() time.Duration { return time.Since(epoch) - t.begun }

// ageAt returns the age that the connection has at a time.
func (t *Conn) ageAt(at time.Time) time.Duration { return t.Age() + time.Until(at) }

// happens makes the transition of an event. It cancels the context of the connection if the
// event ends it, and then wakes the goroutines that wait for the event. It reports whether the
// event set a fact that did not hold before. The caller may hold locks, but not state.mu.
func (t *Conn) happens(e stateEvent, err error) (changed bool) {
	changed = t.state.apply(e, err)
	if transitions[e].cancels {
		t.events.CancelContext(err)
	}
	t.state.wake()
	t.unpark()
	return changed
}

// Fail ends the connection because a call of the socket failed: from now on, nothing can be
// written or read. It closes the socket and returns the first failure of the connection.
func (t *Conn) Fail(err *Error) error {
	event := eventFailure
	if err.Gone {
		event = eventPeerGone
	}
	t.happens(event, err)
	t.Abort()
	return t.failure
}

// closeLocal closes the socket without a closing handshake, because the application asked for
// that.
func (t *Conn) closeLocal() error {
	t.happens(eventCloseNow, ErrClosed)
	return t.close()
}

// close closes the socket. Every call returns when the socket is closed, with the same error.
func (t *Conn) close() error {
	if t.happens(eventSocketClosed, nil) {
		t.release()
	}
	if !t.has(factReleased) {
		<-t.await(untilRelease)
	}
	if w := t.waits.Made(); w != nil {
		return w.closeErr
	}
	return nil
}

// release disarms the timers that would close the socket, and closes it.
func (t *Conn) release() {
	defer t.happens(eventReleased, nil)
	t.events.SocketClosing()
	t.mu.Lock()
	if t.expiry != nil {
		t.expiry.timer.Cancel()
	}
	t.mu.Unlock()
	if w := t.watch(); w != nil {
		w.timer.Cancel()
	}
	t.releaseWindows()
	t.removeSocket()
	if err := t.nc.Close(); err != nil {
		t.ensureWaits().closeErr = err
	}
}

// Abort closes the socket at once, without the alert that TLS would send before. A second call
// waits until the socket is closed.
func (t *Conn) Abort() {
	closeBeneath(t.nc)
	_ = t.close()
}

// closeBeneath closes the connection beneath TLS, and beneath the TLS of a proxy, if nc is a
// *tls.Conn. Closing the *tls.Conn would write an alert first, and wait up to five seconds for a
// peer that takes nothing.
func closeBeneath(nc net.Conn) {
	secure, ok := strictconn.Unwrap(nc).(*tls.Conn)
	if !ok {
		return
	}
	beneath := secure.NetConn()
	for {
		secure, ok := beneath.(*tls.Conn)
		if !ok {
			break
		}
		beneath = secure.NetConn()
	}
	strictconn.Survives(func() { _ = beneath.Close() })
}

// isPanic reports whether a call of the socket panicked, and err stands for the panic.
func (t *Conn) isPanic(err error) bool { return err != nil && t.config.Panics.Is(err) }

// Panicked returns the error of the first panic of the net.Conn beneath, nil if there was none.
func (t *Conn) Panicked() error {
	if c, ok := t.nc.(*strictconn.Conn); ok {
		return c.Panicked()
	}
	return nil
}

// StopBackground stops the timers and the flusher, and returns when none of them runs. None
// starts later. The socket must be closed.
func (t *Conn) StopBackground() {
	t.stopFlushing()
	if c := t.cork.Made(); c != nil { // otherwise none sets its timer later: the socket is closed
		c.timer.Stop()
	}
	t.mu.Lock()
	e := t.expiry
	t.mu.Unlock()
	if e != nil {
		e.timer.Stop()
	}
	if w := t.watch(); w != nil {
		w.timer.Stop()
	}
}

// localAddr returns the local address, never nil.
func (t *Conn) localAddr() net.Addr { return strictconn.KnownAddr(t.nc.LocalAddr()) }

// remoteAddr returns the address of the peer, never nil.
func (t *Conn) remoteAddr() net.Addr { return strictconn.KnownAddr(t.nc.RemoteAddr()) }
