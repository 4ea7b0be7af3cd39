package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// transport is the net.Conn that gorilla gets: the accepted connection, seen
// frame by frame. What it reads is checked and handed on one frame at a time;
// what is written to it leaves in whole frames, whoever writes. It knows how the
// connection ends, and nothing of messages.
//
// Two locks are held over I/O, the read and the write lock, one-slot channels
// that are given up when the socket is closed; mu is held over memory only.
type transport struct {
	nc      net.Conn
	options *Options
	deflate bool // permessage-deflate was agreed on
	open    bool // the 101 is written; set before anybody else has the transport

	// cancel ends the connection's context.
	cancel context.CancelCauseFunc
	// onPeerClose is called once, by the read that meets the peer's close frame,
	// with no lock held. Its error is the read's.
	onPeerClose func(*CloseError) error

	closeTimeout atomic.Int64 // nanoseconds; 0 or less: no waiting
	closed       chan struct{}
	closeOnce    sync.Once
	closeErr     error

	reading
	writing

	mu      sync.Mutex
	ending  ending
	cause   error // of ending
	failure error // of the socket, the first; what every later call returns
}

// An ending is what decided on the wire how a connection ends. The first one
// holds.
type ending int

const (
	undecided       ending = iota
	endedByPeer            // its close frame was read
	endedByUs              // Close was called, a close frame written, the socket closed
	endedByBreach          // the peer broke the protocol
	endedByVanished        // EOF, a reset, no answer, a write not taken
)

func newTransport(nc net.Conn, early []byte, readBuffer int, options *Options) *transport {
	t := &transport{nc: nc, options: options, cancel: func(error) {}, closed: make(chan struct{})}
	t.closeTimeout.Store(int64(options.closeTimeout()))
	t.reading.init(early, readBuffer)
	t.writing.lock = make(chan struct{}, 1)
	return t
}

// decide records how the connection ends, unless that is decided already, and
// cancels its context.
func (t *transport) decide(how ending, cause error) {
	t.mu.Lock()
	if t.ending == undecided {
		t.ending, t.cause = how, cause
	}
	t.mu.Unlock()
	t.cancel(cause)
}

func (t *transport) decided() (ending, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ending, t.cause
}

// fail ends the connection because the socket failed: nothing can be written
// any more. It returns the first failure.
func (t *transport) fail(err *ioError) error {
	t.mu.Lock()
	if t.failure == nil {
		t.failure = err
	}
	first := t.failure
	t.mu.Unlock()
	if err.gone {
		t.decide(endedByVanished, err)
	} else {
		t.cancel(err)
	}
	t.cut()
	return first
}

// endError is what a call returns that finds the socket closed.
func (t *transport) endError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure != nil {
		return t.failure
	}
	return net.ErrClosed
}

func (t *transport) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

// Close is what gorilla's Close and its failed handshakes come to: the
// application ends the connection without a closing handshake.
func (t *transport) Close() error {
	t.decide(endedByUs, net.ErrClosed)
	return t.close()
}

// close closes the socket. All calls return what the first got.
func (t *transport) close() error {
	t.closeOnce.Do(func() {
		close(t.closed)
		t.closeErr = t.nc.Close()
	})
	return t.closeErr
}

// cut closes the socket without politeness: TLS would first write an alert, and
// wait up to five seconds for a peer that takes nothing.
func (t *transport) cut() {
	if secure, ok := t.nc.(*tls.Conn); ok {
		_ = secure.NetConn().Close()
	}
	_ = t.close()
}

func (t *transport) LocalAddr() net.Addr  { return t.nc.LocalAddr() }
func (t *transport) RemoteAddr() net.Addr { return t.nc.RemoteAddr() }

// SetDeadline sets both deadlines.
func (t *transport) SetDeadline(d time.Time) error {
	return errors.Join(t.SetReadDeadline(d), t.SetWriteDeadline(d))
}

// An ioError is a read or write that failed on the wire. It is a net.Error and
// wraps its cause.
type ioError struct {
	op   string // "read" or "write"
	err  error
	gone bool // the peer vanished; false for a deadline or context of the caller's
}

func (e *ioError) Error() string   { return "websocket: " + e.op + ": " + e.err.Error() }
func (e *ioError) Unwrap() error   { return e.err }
func (e *ioError) Timeout() bool   { return isTimeout(e.err) }
func (e *ioError) Temporary() bool { return false }

var _ net.Error = (*ioError)(nil)

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
