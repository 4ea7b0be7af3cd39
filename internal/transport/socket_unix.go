//go:build unix

package transport

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// rawConn returns what lets a socket be waited for without memory to read into;
// nil for anything but a socket itself: a wrapper may have a Read of its own.
func rawConn(nc net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	switch nc := nc.(type) {
	case *net.TCPConn:
		raw, _ = nc.SyscallConn()
	case *net.UnixConn:
		raw, _ = nc.SyscallConn()
	}
	return raw
}

// fillRaw reads into the buffer, which has room for need bytes then. While the peer is
// waited for, there is none or, with something in it, a small one.
func (t *Conn) fillRaw(need int) (int, error) {
	if t.tryRead == nil {
		t.tryRead = t.newTryRead()
	}
	t.getBuffer(need) // as tryRead would, where it takes more stack than a connection needs that only waits
	t.waiting.Store(1 + int64(t.Age()))
	err := t.socket.Read(t.tryRead)
	t.waiting.Store(0)
	if err != nil {
		return 0, err
	}
	b := t.buffer
	t.counts.bytesReceived.Add(uint64(b.n))
	return b.n, b.err
}

// tries returns a function that reads if there is something, and returns false if not:
// it is called again when there is.
func (t *Conn) newTryRead() func(fd uintptr) bool {
	return func(fd uintptr) bool {
		b := t.buffer
		if b == nil || len(b.b) < t.bufferSize() { // it has been waited for
			b = t.getBuffer(0)
		}
		for {
			n, err := syscall.Read(int(fd), b.b[b.w:])
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				if b.r == b.w {
					t.putBuffer()
				} else {
					t.shrinkBuffer()
				}
				return false
			case err != nil:
				b.n, b.err = 0, t.readError(err)
			case n == 0:
				b.n, b.err = 0, io.EOF
			default:
				b.n, b.err = n, nil
			}
			return true
		}
	}
}

// arriveRaw reads some bytes of a payload, with no more memory than may be kept while the
// peer is waited for.
func (t *Conn) arriveRaw(a *arrival) (int, error) {
	t.waiting.Store(1 + int64(t.Age()))
	err := t.socket.Read(a.try)
	if err == nil && a.got < 0 { // others may run, the peer among them, before it is waited for
		runtime.Gosched()
		err = t.socket.Read(a.try)
	}
	t.waiting.Store(0)
	switch {
	case err != nil:
		return 0, err
	case a.err != nil && a.err != io.EOF: //nolint:errorlint // it is bare
		return 0, t.readError(a.err)
	}
	t.counts.bytesReceived.Add(uint64(a.got))
	return a.got, a.err
}

// read reads if there is something, and returns false if not: it is called again when
// there is.
func (a *arrival) read(fd uintptr) bool {
	p := a.room()
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN && a.got >= 0 && !a.mayKeep():
			a.got = -1 // once
			return true
		case err == syscall.EAGAIN:
			a.settle()
			return false
		case err != nil:
			a.got, a.err = 0, err
		case n == 0:
			a.got, a.err = 0, io.EOF
		default:
			a.got, a.err = n, nil
		}
		return true
	}
}

// writeNow writes what the socket takes without waiting. The write lock is held. What is
// wrong shows when the rest is written.
func (t *Conn) writeNow(p []byte) (n int) {
	own := t.ownDeadline()
	_ = t.arm(&own)                // a socket does not panic
	a := attempts.Get().(*attempt) //nolint:errcheck // it is
	a.p, a.n = p, 0
	_ = t.socket.Write(a.try)
	n, a.p = a.n, nil
	attempts.Put(a)
	t.counts.bytesSent.Add(uint64(n))
	return n
}

// An attempt is one at writing without waiting.
type attempt struct {
	p   []byte
	n   int
	try func(fd uintptr) bool // write
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.try = a.write
	return a
}}

func (a *attempt) write(fd uintptr) bool {
	n, err := syscall.Write(int(fd), a.p)
	for err == syscall.EINTR {
		n, err = syscall.Write(int(fd), a.p)
	}
	a.n = max(n, 0)
	return true
}

// readError is what a read of the socket itself would have returned.
func (t *Conn) readError(err error) error {
	return &net.OpError{
		Op:     "read",
		Net:    t.remoteAddr().Network(),
		Source: t.localAddr(),
		Addr:   t.remoteAddr(),
		Err:    os.NewSyscallError("read", err),
	}
}
