package websocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// closeGrace is how long a close frame may take to be written where nobody
	// waits for the answer.
	closeGrace = 10 * time.Millisecond

	// coarseness is the part of WriteTimeout that a deadline on the socket may be
	// short of it and still serve the next write: setting one for each write costs
	// more than all else that is done about it.
	coarseness = 16

	// coalesceMax is the payload in bytes up to which it is copied behind its
	// header and both leave in one write.
	coalesceMax = 4096
)

// writing is what the transport needs to write.
type writing struct {
	// lock is held from a frame's first byte to its last, whatever number of
	// calls gorilla needs for it.
	lock chan struct{}
	rest gorillaFrames // of what gorilla is writing; its writer holds the lock

	closeBegun atomic.Bool

	cork cork

	taken atomic.Int64 // the age at which a piece of a large frame was last taken

	// For a header and its payload; here, as they would escape otherwise.
	parts   [2][]byte
	buffers net.Buffers

	// armed is the socket's own deadline. Its writer holds the lock.
	armed time.Time

	// bound, where set, is the context of the message that gorilla is writing.
	bound atomic.Pointer[context.Context]

	// Guarded by mu of the transport.
	callers  time.Time // the caller's deadline, zero for WriteTimeout
	gorillas time.Time // what gorilla set last, for the frame it writes
}

// A deadline bounds one write. The zero value does not.
type deadline struct {
	at      time.Time
	within  time.Duration // where at is zero: for the wait, and anew for the write
	callers bool          // not ours: it says nothing about the peer
}

// expired returns a channel that gets something at the deadline.
func (d deadline) expired() (c <-chan time.Time, stop func() bool) {
	left := d.within
	switch {
	case !d.at.IsZero():
		left = time.Until(d.at)
	case d.within <= 0:
		return nil, func() bool { return true }
	}
	timer := time.NewTimer(left)
	return timer.C, timer.Stop
}

// closeDeadline bounds the writing of a close frame.
func closeDeadline(timeout time.Duration) deadline {
	return deadline{at: time.Now().Add(max(timeout, closeGrace))}
}

// SetWriteDeadline is called by gorilla before each frame. The caller's own
// deadline does not come this way.
func (t *transport) SetWriteDeadline(d time.Time) error {
	if !t.open {
		return t.nc.SetWriteDeadline(d)
	}
	t.mu.Lock()
	t.gorillas = d
	t.mu.Unlock()
	return nil
}

// setCallersDeadline bounds later writes in place of WriteTimeout, until it is
// set to zero.
func (t *transport) setCallersDeadline(d time.Time) {
	t.mu.Lock()
	t.callers = d
	t.mu.Unlock()
}

// writeDeadline is the deadline of a write that begins now.
func (t *transport) writeDeadline() deadline {
	t.mu.Lock()
	callers := t.callers
	t.mu.Unlock()
	if !callers.IsZero() {
		return deadline{at: callers, callers: true}
	}
	return t.ownDeadline()
}

func (t *transport) ownDeadline() deadline { return deadline{within: t.options.writeTimeout()} }

// wait takes a lock that is a one-slot channel. It gives up when the socket is
// closed, at the deadline and when ctx ends: the write has not begun.
func (t *transport) wait(ctx context.Context, lock chan struct{}, d deadline) error {
	if ctx.Err() != nil {
		return &ioError{op: "write", err: context.Cause(ctx)}
	}
	select {
	case lock <- struct{}{}:
		return nil
	default:
	}
	expired, stop := d.expired()
	defer stop()
	select {
	case lock <- struct{}{}:
		return nil
	case <-t.closed:
		return t.unwritable()
	case <-ctx.Done():
		return &ioError{op: "write", err: context.Cause(ctx)}
	case <-expired:
		return errBusy
	}
}

// errBusy is the error of a write that waited in vain for another one. Nothing
// has happened to the connection.
var errBusy = &ioError{op: "write", err: fmt.Errorf("waiting for another write: %w", os.ErrDeadlineExceeded)}

// unwritable returns why nothing can be written, nil if something can.
func (t *transport) unwritable() error {
	switch failure := t.socketFailure(); {
	case failure != nil:
		return failure
	case t.closeBegun.Load():
		return ErrCloseSent
	case t.isClosed():
		return errClosed
	default:
		return nil
	}
}

// lockWrite takes the write lock for a frame, unless it is known by now that it
// can't be written.
func (t *transport) lockWrite(ctx context.Context, d deadline) error {
	if err := t.unwritable(); err != nil {
		return err
	}
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		return &ioError{op: "write", err: os.ErrDeadlineExceeded}
	}
	return t.lockClose(ctx, d)
}

// unlockWrite gives the lock back. Nobody may be left to write what is held but who
// has it.
func (t *transport) unlockWrite() {
	if t.cork.held != nil && !t.cork.more.Load() {
		_ = t.uncork(context.Background(), t.ownDeadline(), nil, nil) // a failure is the connection's
	}
	<-t.writing.lock
}

// writeFrame writes one whole frame.
func (t *transport) writeFrame(ctx context.Context, opcode byte, payload []byte, d deadline) error {
	if err := t.lockWrite(ctx, d); err != nil {
		return err
	}
	defer t.unlockWrite()
	err := t.sendFrame(ctx, opcode, payload, d)
	if err == nil && isData(opcode) {
		t.counts.messagesSent.Add(1)
	}
	return err
}

// writeClose writes our close frame, the last frame of ours there is.
func (t *transport) writeClose(ctx context.Context, payload []byte, d deadline) error {
	if err := t.lockClose(ctx, d); err != nil {
		return err
	}
	defer t.unlockWrite()
	return t.sendClose(ctx, payload, d)
}

// lockClose takes the write lock for a close frame. ErrCloseSent comes when the
// other close frame is on the wire, whole: the socket may be closed then.
func (t *transport) lockClose(ctx context.Context, d deadline) error {
	if err := t.wait(ctx, t.writing.lock, d); err != nil {
		return err
	}
	if err := t.unwritable(); err != nil {
		t.unlockWrite()
		return err
	}
	return nil
}

func (t *transport) sendClose(ctx context.Context, payload []byte, d deadline) error {
	code := t.closing(payload)
	defer t.cutAfter(max(time.Duration(t.closeTimeout.Load()), closeGrace))()
	err := t.sendFrame(ctx, opClose, payload, d)
	if err == nil {
		t.counts.closeSent.Store(int32(code))
	}
	return err
}

// closing notes that a close frame begins, and returns its code: nothing is
// written after it. The write lock is held.
func (t *transport) closing(payload []byte) (code int) {
	t.closeBegun.Store(true)
	ce, _ := parseClosePayload(payload) // it was checked
	t.decide(endedByUs, ce)
	return ce.Code
}

func (t *transport) sendFrame(ctx context.Context, opcode byte, payload []byte, d deadline) error {
	if t.client {
		return t.uncork(ctx, d, maskedFrame(opcode, payload), nil)
	}
	b := smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	defer smallFrames.Put(b)
	frame := appendHeader(b[:0], opcode, len(payload))
	if len(payload) <= coalesceMax {
		frame, payload = append(frame, payload...), nil
		if isData(opcode) && !d.callers && ctx.Done() == nil && t.hold(frame) {
			return nil
		}
	}
	return t.uncork(ctx, d, frame, payload)
}

// A smallFrame is memory for a header, or a frame that leaves in one piece.
type smallFrame [maxHeaderSize + coalesceMax]byte

var smallFrames = sync.Pool{New: func() any { return new(smallFrame) }}

// send writes to the socket, in one system call where it can: a payload may follow
// the header. The write lock is held; a frame that does not leave whole ends the
// connection.
func (t *transport) send(ctx context.Context, d deadline, p, payload []byte) (n int, err error) {
	t.arm(d)
	release := t.boundWrite(ctx)
	n, err = t.writePieces(p, payload)
	release()
	t.counts.bytesSent.Add(uint64(n))
	switch {
	case err != nil:
		err = t.writeFailed(ctx, d, err)
	case !t.coarse:
		t.set(time.Time{})
	}
	return n, err
}

// piece is how much is written at once, in bytes.
const piece = 128 << 10

// writePieces writes to the socket. Each piece that the peer takes is a sign of
// life: within a frame there is no place for a ping.
func (t *transport) writePieces(p, payload []byte) (n int, err error) {
	if payload != nil {
		m := min(len(payload), piece)
		t.parts = [...][]byte{p, payload[:m]}
		t.buffers = t.parts[:]
		var long int64
		long, err = t.buffers.WriteTo(t.nc)
		n, p = int(long), payload[m:]
		t.parts, t.buffers = [2][]byte{}, nil
	}
	for first := payload == nil; err == nil && (first || len(p) > 0); first = false {
		if !first {
			t.taken.Store(int64(t.age()))
		}
		var m int
		m, err = t.nc.Write(p[:min(len(p), piece)])
		n += m
		p = p[m:]
	}
	return n, err
}

// takenAt is the age at which the peer last took a piece of a large frame.
func (t *transport) takenAt() time.Duration { return time.Duration(t.taken.Load()) }

// arm gives the socket a deadline to write with. One of ours that is left from
// an earlier write and nearly as late is good enough.
func (t *transport) arm(d deadline) {
	at := d.at
	if at.IsZero() && d.within > 0 {
		if left := time.Until(t.armed); left <= d.within && left >= d.within-d.within/coarseness {
			return
		}
		at = time.Now().Add(d.within)
	}
	if !at.Equal(t.armed) {
		t.set(at)
	}
}

func (t *transport) set(writeDeadline time.Time) {
	t.armed = writeDeadline
	_ = t.nc.SetWriteDeadline(writeDeadline) // where it fails, so does the write
}

// boundWrite ends the write under way when ctx ends. Whoever writes next sets a
// deadline of its own.
func (t *transport) boundWrite(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = t.nc.SetWriteDeadline(longAgo)
	})
	return func() {
		if !stop() {
			<-interrupted
			t.armed = longAgo
		}
	}
}

func (t *transport) writeFailed(ctx context.Context, d deadline, err error) error {
	switch {
	case t.isClosed():
		return t.endError()
	case isDeadline(err) && ctx.Err() != nil:
		return t.fail(&ioError{op: "write", err: context.Cause(ctx)})
	case isDeadline(err):
		return t.fail(&ioError{op: "write", err: err, gone: !d.callers})
	case errors.Is(err, net.ErrClosed): // by way of NetConn
		_ = t.Close()
		return errClosed
	default:
		return t.fail(&ioError{op: "write", err: err, gone: true})
	}
}
