package transport

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/poller"
	"github.com/goyave-contrib/websocket/internal/strictconn"
)

// ErrParked is what ReadOrPark returns when the connection is parked.
var ErrParked = errors.New("websocket: the connection is parked")

// errQuiet is the error of a wait that has been long enough for the connection to be parked.
var errQuiet = errors.New("websocket: the connection is quiet")

// minHold is how long a goroutine that was woken for nothing waits at least before the connection
// is parked again.
const minHold = time.Second

// A Waker is the layer above of a connection that is parked.
type Waker interface {
	// Wake is called once for each time that the connection was parked, on a new goroutine. That
	// is the reading goroutine from now on, and must call ReadOrPark: there is something to read,
	// or the connection ends. Wake must recover its panics.
	Wake()
	// Memory returns memory that the connection may use while it has this Waker: always the same,
	// with its zero value at first. A Parking that is a part of the Waker does that.
	Memory() *Parking
}

// Parking is what a connection needs to be parked. Its zero value is ready to use, for one connection.
type Parking struct{ deadlines readDeadlines }

// Memory makes a Parking a part of a [Waker].
func (p *Parking) Memory() *Parking { return p }

// A Pollable is a net.Conn that is no socket and can be parked all the same.
type Pollable interface {
	net.Conn
	// NotifyReadable has ready called once, as soon as a Read would not wait, perhaps at once. It
	// replaces the function of an earlier call; nil takes that back. ready does not block, and may
	// be called with locks held.
	NotifyReadable(ready func())
}

// ReadOrPark is ReadMessage with lend, without a context, but does not wait for long. When no
// message has begun to arrive for the time quiet, it parks the connection: it returns ErrParked,
// and the reading goroutine may end. Only a connection that is busy waits with its goroutine: one
// whose last two messages came within that time. Any other one is parked as soon as there is
// nothing to read. While a connection is parked, it has no read buffer and no reading goroutine.
// w.Wake is called as soon as there is something to read, a deadline passes, or anything happens to
// the connection that a read has to return. Pings and pongs do not count as messages: once they are
// handled, a connection that they woke is parked again.
//
// WaitingSince, deadlines, FailReads and closing handshakes treat a parked connection like one on
// which a read waits, since before it was parked. A connection that ends is not parked.
//
// ReadOrPark never returns ErrParked if quiet is negative, or if the connection can't be parked:
// TLS and other connections that wrap a socket, networks in memory, systems without a poller, and a
// connection whose NetConn the application has, which may close it behind our back. w must be the
// same in all calls for a connection, and of no other connection.
func (t *Conn) ReadOrPark(quiet time.Duration, w Waker) (messageType int, p []byte, err error) {
	if quiet < 0 || !t.isPollable() {
		return t.ReadMessage(context.Background(), true)
	}
	d := t.deadlines.Get(func() *readDeadlines { return &w.Memory().deadlines })
	if d.parker.waker == nil {
		d.serve(w)
	}
	if err := t.unreadable(context.Background()); err != nil {
		return NoMessage, nil, err
	}
	for {
		messageType, p, err = t.readWhole(true, quiet)
		if p == nil && err == nil {
			p, err = t.gather(messageType, true)
		}
		switch {
		case err == errQuiet: //nolint:errorlint // of our own, never wrapped
			if d.park(t) {
				return NoMessage, nil, ErrParked
			}
		case err != nil:
			return NoMessage, nil, err
		default:
			d.parker.arrived(t.Age(), quiet)
			if t.delivers() {
				return messageType, p, nil
			}
		}
	}
}

// arrived notes that a message has arrived at the given age.
func (k *parker) arrived(now, quiet time.Duration) {
	if k.gap {
		k.busy = k.any && now <= k.since-1+quiet
	}
	k.since, k.gap, k.any = 0, false, true
}

// isPollable reports whether something can tell when the connection beneath can be read.
func (t *Conn) isPollable() bool {
	if t.socket != nil {
		return poller.Exists
	}
	_, ok := strictconn.Unwrap(t.nc).(Pollable)
	return ok
}

// endingFacts are those with which a connection ends, or is about to.
const endingFacts = factShutdown | factClosing | factCloseCalled | factCloseFrame | factPeerClosed | factFailed | factClosed

// mayPark reports whether nothing is known that forbids to park the connection. A connection that
// ends has a goroutine: it has only a while to live.
func (t *Conn) mayPark() bool { return !t.has(endingFacts) && !t.flags.has(socketShown) }

// unpark wakes the connection if it is parked. Locks may be held.
func (t *Conn) unpark() {
	if d := t.deadlines.Made(); d != nil {
		d.Ready()
	}
}

// parker is the part of the read deadlines that parks a connection.
type parker struct {
	waker Waker // nil before the first ReadOrPark; set with the mutex held

	parked  atomic.Bool  // the reading goroutine has given the connection up
	removed bool         // the socket is about to be closed; guarded by the mutex
	watch   poller.Watch // zero: the socket is not registered; guarded by the mutex

	// Fields of the reading goroutine.
	since  time.Duration // 1 + the age at which the wait for the next message began; zero: it did not
	awakes bool          // the connection was woken, and nothing has been read since
	gap    bool          // it was parked while it waited for the next message
	any    bool          // there was a message
	busy   bool          // the last message came no later than quiet after the one before

	// Fields that the read lock guards.
	waits   bool // a read of the socket waits for a message
	isQuiet bool // that read is over, because the quiet deadline passed, but the wait goes on
}

// serve notes the Waker of the connection.
func (d *readDeadlines) serve(w Waker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parker.waker = w
}

// awaitMessage is peek(2) for the beginning of a message. It returns errQuiet when none has begun
// to arrive for the given time. The read lock is held.
func (t *Conn) awaitMessage(quiet time.Duration) error {
	d := t.deadlines.Made()
	for t.buffer.buffered() == 0 && t.mayPark() {
		if t.reading.err != nil {
			return t.reading.err
		}
		t.uncorkBeforeWaiting()
		if !d.boundQuiet(t, quiet) {
			t.putBuffer()
			t.putSocketRead()
			return errQuiet
		}
		d.parker.waits = true
		m, err := t.fill(2)
		d.parker.waits = false
		switch {
		case m > 0:
			d.parker.awakes = false
			t.buffer.w += m
		case d.parker.isQuiet:
			t.putBuffer()
		default:
			return t.readFailed(err)
		}
	}
	d.parker.isQuiet = false // the wait, if it goes on, ends with this read
	return t.peek(2)
}

// boundQuiet bounds the next read of the socket, within which a message should begin to arrive. It
// returns false if the time is over; a connection that is not busy has no time at all. The bound of
// an earlier read stays if at least half of the time is left until then, because to set a bound takes
// longer than all else about it.
func (d *readDeadlines) boundQuiet(t *Conn, quiet time.Duration) bool {
	k := &d.parker
	now := t.Age()
	if k.since == 0 {
		k.since = 1 + now
	}
	if t.waiting.Load() == 0 { // as beginWait, which then need not ask for the time again
		t.waiting.Store(1 + int64(now))
	}
	k.isQuiet = false
	at := k.since - 1
	if k.busy {
		at += quiet
	}
	switch {
	case k.awakes:
		k.awakes = false
		at = max(at, now+max(quiet, minHold))
	case at <= now:
		k.isQuiet = true // the wait goes on
		return false
	}
	if d.quiet == 0 || d.quiet > at || d.quiet-now < quiet/2 {
		d.setQuiet(t, at)
	}
	return true
}

// outlasts reports whether a read of the socket that failed with err has to be repeated, because
// only the time is over within which a message should have begun to arrive, and the read is for
// something else.
func (t *Conn) outlasts(err error) bool {
	d := t.deadlines.Made()
	return d != nil && isDeadline(err) && d.quietPassed(t) && !d.parker.isQuiet
}

// park parks the connection, and reports whether it did. Then another goroutine may be the reading
// goroutine already.
func (d *readDeadlines) park(t *Conn) bool {
	if !d.beginPark(t) {
		return false
	}
	if t.mayPark() && t.registerSocket(d) == nil {
		return true
	}
	if !d.parker.parked.CompareAndSwap(true, false) {
		return true // it has been woken
	}
	d.stopExpiry()
	return false
}

// beginPark lets others wake the connection from now on, unless a read would fail.
func (d *readDeadlines) beginPark(t *Conn) bool {
	k := &d.parker
	d.mu.Lock()
	defer d.mu.Unlock()
	k.awakes, k.gap = true, true
	if d.interruption() != nil || d.taken {
		return false
	}
	if d.quiet != 0 {
		d.quiet = 0
		_ = d.apply(t)
	}
	if caller := d.caller(); !caller.IsZero() {
		d.bounds.expiry = time.AfterFunc(time.Until(caller), d.Ready)
	}
	k.parked.Store(true)
	return true
}

// Ready wakes the connection if it is parked, for whatever reason: it is not only the Ready of a
// [poller.Waiter]. Locks may be held.
func (d *readDeadlines) Ready() {
	if d.parker.parked.CompareAndSwap(true, false) {
		go d.wake()
	}
}

func (d *readDeadlines) wake() {
	d.stopExpiry()
	d.parker.waker.Wake()
}

func (d *readDeadlines) stopExpiry() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b := d.bounds; b != nil && b.expiry != nil {
		b.expiry.Stop()
		b.expiry = nil
	}
}

// registerSocket has Ready called when the connection beneath can be read.
func (t *Conn) registerSocket(d *readDeadlines) (err error) {
	if t.socket == nil {
		strictconn.Unwrap(t.nc).(Pollable).NotifyReadable(d.Ready) //nolint:errcheck // see isPollable
		return nil
	}
	// No pool has the closure: its Get would not fit into the stack of a new goroutine.
	if closed := t.socket.Control(func(fd uintptr) { err = d.register(fd) }); closed != nil {
		return closed
	}
	return err
}

func (d *readDeadlines) register(fd uintptr) (err error) {
	k := &d.parker
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case k.removed:
		return ErrClosed
	case k.watch.IsZero():
		k.watch, err = poller.Add(fd, d)
		return err
	default:
		return poller.Arm(fd, k.watch)
	}
}

// removeSocket takes back what registerSocket did, for good. It must be called before the socket is
// closed: then no event can reach another connection.
func (t *Conn) removeSocket() {
	d := t.deadlines.Made()
	if d == nil {
		return
	}
	d.mu.Lock()
	watch, used := d.parker.watch, d.parker.waker != nil
	d.parker.removed, d.parker.watch = true, poller.Watch{}
	d.mu.Unlock()
	switch {
	case !watch.IsZero():
		removed := t.socket.Control(func(fd uintptr) { poller.Remove(fd, watch) })
		if removed != nil { // the application has closed it
			poller.Forget(watch)
		}
	case t.socket == nil && used:
		if nc, ok := strictconn.Unwrap(t.nc).(Pollable); ok {
			nc.NotifyReadable(nil)
		}
	}
}

var _ poller.Waiter = (*readDeadlines)(nil)
