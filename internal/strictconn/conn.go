// Package strictconn holds a net.Conn of the application's to the contract of package net, so
// that other code may rely on it.
package strictconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// maxEmptyReads is how many reads in a row may return nothing, as in package bufio.
const maxEmptyReads = 100

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// A Conn keeps the contract of net.Conn, whatever the connection beneath does. It turns a panic
// of a method into an error of Panics, and the network's own error for a deadline that has passed
// into os.ErrDeadlineExceeded. A short Write is an error. A Read that returns neither bytes nor
// an error is repeated. The addresses are never nil, and do not change.
//
// Only runtime.Goexit passes through. No call waits after Close, even if Close panicked.
type Conn struct {
	nc            net.Conn
	local, remote net.Addr
	closed        atomic.Bool
	begun         time.Time // deadlines are stored relative to it
	readBy        deadline
	writeBy       deadline
	panics        *Panics
	panicked      atomic.Pointer[error] // the first panic, nil without one
}

// Wrap returns a Conn over nc. A plain socket keeps the contract by itself, and is returned as it
// is.
func Wrap(nc net.Conn, panics *Panics) net.Conn {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return nc
	default:
		return &Conn{
			nc: nc, local: addressOf(nc.LocalAddr), remote: addressOf(nc.RemoteAddr),
			begun: time.Now(), panics: panics,
		}
	}
}

// Unwrap returns the connection that Wrap was given.
func Unwrap(nc net.Conn) net.Conn {
	if c, ok := nc.(*Conn); ok {
		return c.nc
	}
	return nc
}

func (c *Conn) Read(p []byte) (n int, err error) {
	defer c.survive(&err)
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	for range maxEmptyReads {
		n, err = c.nc.Read(p)
		switch {
		case n < 0 || n > len(p):
			return 0, errCount
		case n > 0 || len(p) == 0:
			return n, nil // an error will be returned again
		case err != nil:
			return 0, c.readBy.explain(c, err)
		}
	}
	return 0, io.ErrNoProgress
}

func (c *Conn) Write(p []byte) (n int, err error) {
	defer c.survive(&err)
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err = c.nc.Write(p)
	switch {
	case n < 0 || n > len(p):
		return 0, errCount
	case err != nil:
		return n, c.writeBy.explain(c, err)
	case n < len(p):
		return n, io.ErrShortWrite
	default:
		return n, nil
	}
}

var errCount = errors.New("the connection returned an impossible number of bytes")

// Close closes the connection. If that panics, calls that wait are at least interrupted.
func (c *Conn) Close() (err error) {
	c.closed.Store(true)
	returned := false
	defer c.survive(&err)
	defer func() {
		if !returned {
			Survives(func() { _ = c.nc.SetReadDeadline(longAgo) })
			Survives(func() { _ = c.nc.SetWriteDeadline(longAgo) })
		}
	}()
	err = c.nc.Close()
	returned = true
	return err
}

// CloseWrite closes the writing half, if the connection can do that.
func (c *Conn) CloseWrite() (err error) {
	defer c.survive(&err)
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// LocalAddr returns the local address that the connection beneath had at Wrap.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the remote address that the connection beneath had at Wrap.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; the zero time removes them.
func (c *Conn) SetDeadline(d time.Time) error {
	return errors.Join(c.SetReadDeadline(d), c.SetWriteDeadline(d))
}

// SetReadDeadline sets the deadline of reads; the zero time removes it.
func (c *Conn) SetReadDeadline(d time.Time) (err error) {
	defer c.survive(&err)
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.readBy.set(c, d)
	return c.nc.SetReadDeadline(d)
}

// SetWriteDeadline sets the deadline of writes; the zero time removes it.
func (c *Conn) SetWriteDeadline(d time.Time) (err error) {
	defer c.survive(&err)
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.writeBy.set(c, d)
	return c.nc.SetWriteDeadline(d)
}

// A deadline of a Conn is in nanoseconds since it began; zero: none.
type deadline struct{ at atomic.Int64 }

func (d *deadline) set(c *Conn, at time.Time) {
	if at.IsZero() {
		d.at.Store(0)
		return
	}
	d.at.Store(int64(at.Sub(c.begun)) | 1) // never zero, which means none
}

// explain returns the error of a call that this deadline bounds and that failed with err. A
// timeout before the deadline is one of the network's own.
func (d *deadline) explain(c *Conn, err error) error {
	var timeout interface{ Timeout() bool }
	at := d.at.Load()
	passed := at != 0 && at <= int64(time.Since(c.begun))|1
	if !passed || errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		return err
	}
	return &deadlineError{err}
}

// A deadlineError is a network's own error for a deadline that has passed. It is
// os.ErrDeadlineExceeded, too.
type deadlineError struct{ error }

func (e *deadlineError) Unwrap() []error { return []error{e.error, os.ErrDeadlineExceeded} }
func (*deadlineError) Timeout() bool     { return true }
func (*deadlineError) Temporary() bool   { return true } // otherwise TLS would make the error permanent

// unknownAddr is the address of a connection that returns none.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "unknown" }

// KnownAddr returns the address. For nil, which some sockets return, it returns one whose texts
// are "unknown".
func KnownAddr(a net.Addr) net.Addr {
	if a == nil {
		return unknownAddr{}
	}
	return a
}

// addressOf returns the address that take returns, or unknownAddr if it or its methods panic.
func addressOf(take func() net.Addr) (a net.Addr) {
	ok := Survives(func() {
		a = KnownAddr(take())
		_ = a.Network() + a.String() // may panic: it may be a nil pointer
	})
	if !ok {
		return unknownAddr{}
	}
	return a
}

// Panicked returns the error of the first panic of the connection beneath, nil if there was none.
func (c *Conn) Panicked() error {
	if first := c.panicked.Load(); first != nil {
		return *first
	}
	return nil
}

// survive must be deferred by each method. It turns a panic into the error of the method.
func (c *Conn) survive(err *error) {
	if value := recover(); value != nil {
		first := c.panics.New(value)
		c.panicked.CompareAndSwap(nil, &first)
		*err = *c.panicked.Load()
	}
}

// Panics makes errors of recovered panics. The layer above has the type of these errors.
type Panics struct {
	// New returns an error for the value of a panic. It is called by the deferred function that
	// recovers, so that it can see the stack.
	New func(value any) error
	// Is reports whether err is, or wraps, an error of New.
	Is func(err error) bool
}

// Survives calls f and reports whether it returned without a panic.
func Survives(f func()) (returned bool) {
	defer func() { returned = recover() == nil }()
	f()
	return true
}
