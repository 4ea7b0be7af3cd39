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

// rawConn returns the raw connection of a plain socket, which can be waited for without a buffer.
// It returns nil for any other connection: a type that wraps a socket may have a Read of its own.
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

// A socketRead reads from a socket when that can be read. It is pooled, because a connection that is
// parked needs none.
type socketRead struct {
	t        *Conn
	callback func(fd uintptr) bool // try
}

var socketReads = sync.Pool{New: func() any {
	r := new(socketRead)
	r.callback = r.try
	return r
}}

// takeSocketRead takes what fillRaw reads with from the pool.
func (t *Conn) takeSocketRead() {
	t.socketRead = socketReads.Get().(*socketRead) //nolint:errcheck // it is
	t.socketRead.t = t
}

// putSocketRead gives it back. The read lock is held.
func (t *Conn) putSocketRead() {
	if r := t.socketRead; r != nil {
		t.socketRead, r.t = nil, nil
		socketReads.Put(r)
	}
}

// fillRaw reads from the socket into the buffer, which it makes large enough for need bytes. It
// returns the number of bytes read. While it waits for the peer, the connection holds no buffer
// or, if there are bytes in it, a small one.
func (t *Conn) fillRaw(need int) (int, error) {
	if t.socketRead == nil {
		t.takeSocketRead()
	}
	t.getBuffer(need) // here and not only in the callback, where it would grow the stack of each connection that waits
	t.beginWait()
	if err := t.socket.Read(t.socketRead.callback); err != nil {
		if err = t.fillOn(err); err != nil {
			return 0, err
		}
	}
	t.endWait()
	b := t.buffer
	t.counts.bytesReceived.Add(uint64(b.n))
	return b.n, b.err
}

// fillOn goes on with the read of fillRaw that failed with err, if it is to be outlasted. The stack
// of fillRaw is small without it.
//
//go:noinline
func (t *Conn) fillOn(err error) error {
	for err != nil && t.outlasts(err) {
		err = t.socket.Read(t.socketRead.callback)
	}
	if err != nil {
		t.endWait()
	}
	return err
}

// try reads what the socket has into the buffer of the connection, where it leaves the result. It
// returns false if that is nothing: then it is called again when there is something.
func (r *socketRead) try(fd uintptr) bool {
	t := r.t
	b := t.buffer
	if b == nil || len(b.b) < t.bufferSize() { // it was released for the wait
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

// arriveRaw reads some bytes of a payload from the socket into a. While it waits for the peer, the
// connection holds no more memory than it may keep.
func (t *Conn) arriveRaw(a *arrival) (int, error) {
	t.beginWait()
	err := t.socket.Read(a.try)
	for err == nil && a.tried < 0 || err != nil && t.outlasts(err) {
		if err == nil { // nothing was there: other goroutines may run first, perhaps the peer
			runtime.Gosched()
		}
		err = t.socket.Read(a.try)
	}
	t.endWait()
	switch {
	case err != nil:
		return 0, err
	case a.err != nil && a.err != io.EOF: //nolint:errorlint // read does not wrap it
		return 0, t.readError(a.err)
	}
	t.counts.bytesReceived.Add(uint64(a.tried))
	return a.tried, a.err
}

// read is the callback of arriveRaw. It reads what the socket has, and returns false if that is
// nothing: then it is called again when there is something. The first time that waiting would
// release memory, it returns true with a negative number instead.
func (a *arrival) read(fd uintptr) bool {
	p := a.space()
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN && a.tried >= 0 && !a.mayKeep():
			a.tried = -1
			return true
		case err == syscall.EAGAIN:
			a.stall()
			return false
		case err != nil:
			a.tried, a.err = 0, err
		case n == 0:
			a.tried, a.err = 0, io.EOF
		default:
			a.tried, a.err = n, nil
		}
		return true
	}
}

// writeNow writes what the socket takes without waiting. frameLock is held. What is wrong shows when
// the rest is written.
func (t *Conn) writeNow(p []byte) (n int) {
	if t.armed != 0 { // a deadline that has passed would keep it from writing
		own := t.ownDeadline()
		_ = t.arm(&own) // a socket does not panic
	}
	n = t.tryWrite(p)
	t.counts.bytesSent.Add(uint64(n))
	return n
}

// tryWrite is writeNow without counting, for a socket that has no deadline.
func (t *Conn) tryWrite(p []byte) (n int) {
	a := attempts.Get().(*attempt) //nolint:errcheck // it is
	a.p, a.n = p, 0
	_ = t.socket.Write(a.try)
	n, a.p = a.n, nil
	attempts.Put(a)
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

// readError returns the error that Read of the socket would have returned.
func (t *Conn) readError(err error) error {
	return &net.OpError{
		Op:     "read",
		Net:    t.remoteAddr().Network(),
		Source: t.localAddr(),
		Addr:   t.remoteAddr(),
		Err:    os.NewSyscallError("read", err),
	}
}
