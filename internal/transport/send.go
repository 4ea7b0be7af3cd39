package transport

import (
	"context"
	"errors"
	"net"
	"sync"
)

// ErrPanicked is the failure of a connection whose write ended in a panic or runtime.Goexit: how
// much was written is unknown.
var ErrPanicked = &Error{Op: "write", Err: errors.New("the connection panicked")}

// chunkMax is how many bytes are written to the socket at once.
const chunkMax = 128 << 10

// send writes p and then payload to the socket, in one system call if possible. frameLock is
// held. If not all of it can be written, the connection has failed; so it has if the Write of the
// net.Conn beneath panics or calls runtime.Goexit.
//
// Most writes need not wait for anything. So a socket that has no deadline is tried without one: to
// set it costs more than all else about it.
func (t *Conn) send(b *WriteDeadline, p, payload []byte) (n int, err error) {
	if t.armed == 0 && t.socket != nil && len(payload) == 0 && len(p) <= chunkMax {
		if n = t.writeNow(p); n == len(p) {
			return n, nil
		}
		p = p[n:]
	}
	m, err := t.sendWaiting(b, p, payload)
	return n + m, err
}

// sendWaiting is send for what may have to wait.
func (t *Conn) sendWaiting(b *WriteDeadline, p, payload []byte) (n int, err error) {
	returned := false
	defer func() {
		if !returned {
			_ = t.Fail(ErrPanicked)
		}
	}()
	err = t.arm(b)
	switch {
	case err != nil:
	case b.ctx.Done() == nil:
		n, err = t.writeChunks(b, p, payload)
	default:
		release := t.boundWrite(b.ctx)
		n, err = t.writeChunks(b, p, payload)
		release()
	}
	t.counts.bytesSent.Add(uint64(n)) //nolint:gosec // it is not negative
	if disarmed := t.disarm(); err == nil {
		err = disarmed
	}
	if err != nil {
		err = t.writeFailed(b, err)
	}
	returned = true
	return n, err
}

// writeChunks writes to the socket. Each chunk that is taken renews the timeout, and is a sign of
// life of the peer: no ping can be sent within a frame.
func (t *Conn) writeChunks(b *WriteDeadline, p, payload []byte) (n int, err error) {
	if len(p)+len(payload) <= chunkMax {
		return t.writeChunk(b, p, payload)
	}
	for {
		m := min(len(p), chunkMax)
		first, rest := p[:m], p[m:]
		var second []byte
		if len(rest) == 0 {
			m = min(len(payload), chunkMax)
			second, payload = payload[:m], payload[m:]
		}
		p = rest
		m, err = t.writeChunk(b, first, second)
		n += m
		if err != nil || len(p)+len(payload) == 0 {
			return n, err
		}
		t.noteProgress()
		if err = t.renew(b); err != nil {
			return n, err
		}
	}
}

// writeChunk writes p and then payload, in one system call if possible.
func (t *Conn) writeChunk(b *WriteDeadline, p, payload []byte) (n int, err error) {
	if t.flags.has(writeUntimed) {
		return t.writeWithoutDeadline(b, p, payload)
	}
	n, err = t.writeFrom(0, p, payload)
	if err != nil && t.isCheck(b, err) {
		return t.writeSlowly(b, p, payload, n, err)
	}
	return n, err
}

// writeFrom writes p and then payload, without the first n bytes of the two, in one system call if
// possible.
func (t *Conn) writeFrom(n int, p, payload []byte) (int, error) {
	switch {
	case n >= len(p):
		return t.nc.Write(payload[n-len(p):])
	case len(payload) == 0:
		return t.nc.Write(p[n:])
	default:
		return t.writeVector(p[n:], payload)
	}
}

func (t *Conn) writeVector(p, payload []byte) (int, error) {
	v := vectors.Get().(*vector) //nolint:errcheck // it is
	v.parts = [...][]byte{p, payload}
	v.buffers = v.parts[:]
	n, err := v.buffers.WriteTo(t.nc)
	*v = vector{}
	vectors.Put(v)
	return int(n), err
}

// A vector is what one call of writev writes. It is pooled, because it escapes to the heap.
type vector struct {
	parts   [2][]byte
	buffers net.Buffers
}

var vectors = sync.Pool{New: func() any { return new(vector) }}

// boundWrite interrupts the write under way when ctx ends, until release is called. The next write
// sets a deadline of its own then.
func (t *Conn) boundWrite(ctx context.Context) (release func()) {
	t.flags.set(writeByContext)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		t.events.Guard(func() { t.interruptWrite(ctx) })
	})
	return func() {
		t.flags.clear(writeByContext)
		if !stop() {
			<-interrupted
			t.armed = unknownDeadline
		}
	}
}

// interruptWrite ends the write under way, whose context has ended.
func (t *Conn) interruptWrite(ctx context.Context) {
	err := t.nc.SetWriteDeadline(longAgo)
	if !reaches(err) && t.flags.clear(writeByContext) {
		t.FailUnreached("write", context.Cause(ctx), err)
	}
}

// writeFailed ends the connection after an error of the socket, and returns the error of the call
// that wrote.
func (t *Conn) writeFailed(b *WriteDeadline, err error) error {
	switch {
	case t.isClosed():
		return t.endError()
	case isDeadline(err) && b.ctx.Err() != nil:
		return t.Fail(&Error{Op: "write", Err: context.Cause(b.ctx)})
	case isDeadline(err):
		return t.Fail(&Error{Op: "write", Err: err, Gone: !b.fromCaller})
	case t.isPanic(err):
		return t.Fail(&Error{Op: "write", Err: err})
	case errors.Is(err, net.ErrClosed): // by way of NetConn, or beneath TLS by Abort
		_ = t.closeLocal()
		return t.endError()
	default: // EPIPE, ECONNRESET, or what other networks call it
		return t.hangUp(&Error{Op: "write", Err: err, Gone: true})
	}
}
