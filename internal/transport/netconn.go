package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// maxEmptyReads is how many reads in a row may get nothing, as in package bufio.
const maxEmptyReads = 100

// A strictConn is a net.Conn of others, held to what a net.Conn promises. What one of its
// methods does instead comes out as an error: a panic is one that panics makes, the end of the
// time that was set is os.ErrDeadlineExceeded, whatever the network calls it, and a Write
// that is short has failed. A Read that returns nothing, and no error, is tried again.
// Addresses are there, and stay the same.
//
// Only runtime.Goexit passes. After Close no call waits, even where Close panicked.
type strictConn struct {
	nc            net.Conn
	local, remote net.Addr
	closed        atomic.Bool
	begun         time.Time // the deadlines count from here
	readBy        deadline
	writeBy       deadline
	panics        *Panics
	panicked      atomic.Pointer[error] // the first
}

// Strict returns a connection that keeps its promises: a socket itself does.
func Strict(nc net.Conn, panics *Panics) net.Conn {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return nc
	default:
		return newStrictConn(nc, panics)
	}
}

func newStrictConn(nc net.Conn, panics *Panics) *strictConn {
	return &strictConn{
		nc: nc, local: addressOf(nc.LocalAddr), remote: addressOf(nc.RemoteAddr),
		begun: time.Now(), panics: panics,
	}
}

// accepted returns the connection that Strict was given.
func accepted(nc net.Conn) net.Conn {
	if c, ok := nc.(*strictConn); ok {
		return c.nc
	}
	return nc
}

func (c *strictConn) Read(p []byte) (n int, err error) {
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
			return n, nil // an error will come again
		case err != nil:
			return 0, c.readBy.explain(c, err)
		}
	}
	return 0, io.ErrNoProgress
}

func (c *strictConn) Write(p []byte) (n int, err error) {
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

// Close closes the connection. Where that panics, those who wait for it are waked at
// least.
func (c *strictConn) Close() (err error) {
	c.closed.Store(true)
	returned := false
	defer c.survive(&err)
	defer func() {
		if !returned {
			survives(func() { _ = c.nc.SetReadDeadline(longAgo) })
			survives(func() { _ = c.nc.SetWriteDeadline(longAgo) })
		}
	}()
	err = c.nc.Close()
	returned = true
	return err
}

// CloseWrite closes one direction, where the connection can.
func (c *strictConn) CloseWrite() (err error) {
	defer c.survive(&err)
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *strictConn) LocalAddr() net.Addr  { return c.local }
func (c *strictConn) RemoteAddr() net.Addr { return c.remote }

func (c *strictConn) SetDeadline(d time.Time) error {
	return errors.Join(c.SetReadDeadline(d), c.SetWriteDeadline(d))
}

func (c *strictConn) SetReadDeadline(d time.Time) (err error) {
	defer c.survive(&err)
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.readBy.set(c, d)
	return c.nc.SetReadDeadline(d)
}

func (c *strictConn) SetWriteDeadline(d time.Time) (err error) {
	defer c.survive(&err)
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.writeBy.set(c, d)
	return c.nc.SetWriteDeadline(d)
}

// A deadline is one of a strictConn, in nanoseconds since that began; 0: none.
type deadline struct{ at atomic.Int64 }

func (d *deadline) set(c *strictConn, at time.Time) {
	if at.IsZero() {
		d.at.Store(0)
		return
	}
	d.at.Store(int64(at.Sub(c.begun)) | 1) // which is never 0
}

// explain returns the error of a call that this deadline was set for. Networks have
// timeouts of their own, too: as long as the deadline has not passed, it is one of those.
func (d *deadline) explain(c *strictConn, err error) error {
	var timeout interface{ Timeout() bool }
	at := d.at.Load()
	passed := at != 0 && at <= int64(time.Since(c.begun))|1
	if !passed || errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		return err
	}
	return &deadlineError{err}
}

// A deadlineError is os.ErrDeadlineExceeded in the words of a network that calls it
// something else.
type deadlineError struct{ error }

func (e *deadlineError) Unwrap() []error { return []error{e.error, os.ErrDeadlineExceeded} }
func (*deadlineError) Timeout() bool     { return true }
func (*deadlineError) Temporary() bool   { return true } // or TLS above would not try again

// unknownAddr is the address of a connection that has none to tell.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "unknown" }

// known returns the address, or one that stands for none.
func known(a net.Addr) net.Addr {
	if a == nil {
		return unknownAddr{}
	}
	return a
}

// addressOf returns an address that can be asked for its name.
func addressOf(take func() net.Addr) (a net.Addr) {
	ok := survives(func() {
		a = known(take())
		_ = a.Network() + a.String() // a nil pointer of some type, for one, may panic
	})
	if !ok {
		return unknownAddr{}
	}
	return a
}

// closeBeneath closes what is beneath TLS, if anything is, and beneath that of a proxy.
// TLS itself would first write an alert, and wait up to five seconds for a peer that
// takes nothing.
func closeBeneath(nc net.Conn) {
	secure, ok := accepted(nc).(*tls.Conn)
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
	survives(func() { _ = beneath.Close() })
}

// survive is to be deferred by the methods: it makes an error of a panic.
func (c *strictConn) survive(err *error) {
	if value := recover(); value != nil {
		first := c.panics.New(value)
		c.panicked.CompareAndSwap(nil, &first)
		*err = *c.panicked.Load()
	}
}

// Panics makes errors of panics that were recovered, and knows them again: the layer above
// has a type for them.
type Panics struct {
	New func(value any) error // is called while the panic is recovered
	Is  func(err error) bool  // reports whether an error is such a one, or wraps one
}

// survives calls a function and reports whether it did not panic.
func survives(f func()) (returned bool) {
	defer func() { returned = recover() == nil }()
	f()
	return true
}
