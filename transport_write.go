package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// closeGrace is how long a close frame may take to be written where nobody
	// waits for the answer.
	closeGrace = 10 * time.Millisecond

	// coalesceMax is the payload in bytes up to which it is copied behind its
	// header and both leave in one write.
	coalesceMax = 4096
)

// writing is what the transport needs to write.
type writing struct {
	// lock is held from a frame's first byte to its last, whatever number of
	// calls gorilla needs for it.
	lock chan struct{}
	rest uint64 // bytes of a frame of gorilla's still to come; its writer holds the lock

	closeBegun atomic.Bool

	// bound, where set, is the context of the message that gorilla is writing.
	bound atomic.Pointer[context.Context]

	// Guarded by mu of the transport.
	callers  time.Time // the caller's deadline, zero for WriteTimeout
	gorillas time.Time // what gorilla set last, for the frame it writes
}

// A deadline bounds one write.
type deadline struct {
	at      time.Time // zero: no bound
	callers bool      // not ours: it says nothing about the peer
}

func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
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
	return deadline{at: after(t.options.writeTimeout())}
}

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
	var expired <-chan time.Time
	if !d.at.IsZero() {
		timer := time.NewTimer(time.Until(d.at))
		defer timer.Stop()
		expired = timer.C
	}
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
	t.mu.Lock()
	failure := t.failure
	t.mu.Unlock()
	switch {
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

func (t *transport) unlockWrite() { <-t.writing.lock }

// writeFrame writes one whole frame.
func (t *transport) writeFrame(ctx context.Context, opcode byte, payload []byte, d deadline) error {
	if err := t.lockWrite(ctx, d); err != nil {
		return err
	}
	defer t.unlockWrite()
	return t.sendFrame(ctx, opcode, payload, t.begin(d))
}

// begin is the deadline of a write whose turn has come: one of ours begins
// anew, for the wait says nothing about the peer.
func (t *transport) begin(d deadline) deadline {
	if d.callers {
		return d
	}
	return t.writeDeadline()
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
	t.closing(payload)
	return t.sendFrame(ctx, opClose, payload, d)
}

// closing notes that a close frame begins: nothing is written after it. The
// write lock is held.
func (t *transport) closing(payload []byte) {
	t.closeBegun.Store(true)
	ce, _ := parseClosePayload(payload) // it was checked
	t.decide(endedByUs, ce)
}

func (t *transport) sendFrame(ctx context.Context, opcode byte, payload []byte, d deadline) error {
	if t.client {
		_, err := t.send(ctx, d, maskedFrame(opcode, payload))
		return err
	}
	if len(payload) <= coalesceMax {
		frame := make([]byte, 0, maxHeaderSize+len(payload))
		frame = append(appendHeader(frame, opcode, len(payload)), payload...)
		_, err := t.send(ctx, d, frame)
		return err
	}
	var header [maxHeaderSize]byte
	_, err := t.send(ctx, d, appendHeader(header[:0], opcode, len(payload)), payload)
	return err
}

// send writes to the socket. The write lock is held; a frame that does not
// leave whole ends the connection.
func (t *transport) send(ctx context.Context, d deadline, parts ...[]byte) (int, error) {
	_ = t.nc.SetWriteDeadline(d.at) // where it fails, so does the write
	release := t.boundWrite(ctx)
	var n int64
	var err error
	if len(parts) == 1 {
		var m int
		m, err = t.nc.Write(parts[0])
		n = int64(m)
	} else {
		buffers := net.Buffers(parts)
		n, err = buffers.WriteTo(t.nc)
	}
	release()
	switch {
	case err != nil:
		err = t.writeFailed(ctx, d, err)
	case t.secure != nil:
		_ = t.nc.SetWriteDeadline(time.Time{}) // reads of TLS write, too: answers to key updates
	}
	return int(n), err
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

// Write serves gorilla: p begins a frame or goes on with one. Gorilla writes
// one frame at a time, but also whole prepared messages of several frames, and a
// frame in two calls.
func (t *transport) Write(p []byte) (int, error) {
	if !t.open {
		t.deflate = bytes.Contains(p, []byte("\r\nSec-WebSocket-Extensions: permessage-deflate"))
		return t.nc.Write(p)
	}
	ctx := context.Background()
	if bound := t.bound.Load(); bound != nil {
		ctx = *bound
	}
	d := t.gorillaDeadline()
	isClose := false
	if t.rest == 0 {
		t.rest = framesLength(p)
		isClose = p[0]&0xf == opClose && t.rest == uint64(len(p))
		if err := t.beginGorillas(ctx, d, p, isClose); err != nil {
			t.rest = 0
			return 0, err
		}
		if t.client && t.rest == uint64(len(p)) { // as are all of gorilla's there
			p = remasked(p)
		}
	}
	n, err := t.send(ctx, t.begin(d), p)
	if t.rest -= min(t.rest, uint64(len(p))); t.rest == 0 || err != nil {
		t.rest = 0
		t.unlockWrite()
	}
	if isClose {
		t.expire()
	}
	return n, err
}

// beginGorillas takes the write lock for a frame of gorilla's.
func (t *transport) beginGorillas(ctx context.Context, d deadline, p []byte, isClose bool) error {
	var payload []byte
	if isClose {
		h := parseHeader(p)
		payload = bytes.Clone(p[h.size:])
		mask(payload, h.key)
		if _, breach := parseClosePayload(payload); breach != nil {
			return invalidClose(breach)
		}
	}
	if err := t.lockWrite(ctx, d); err != nil {
		var waited *ioError
		control := p[0]&0x8 != 0 // of code that has the embedded connection
		if errors.As(err, &waited) && !control {
			// Gorilla writes nothing more after an error, and the message may have
			// begun: there is no going on.
			return t.fail(&ioError{op: "write", err: waited.err, gone: !d.callers && ctx.Err() == nil})
		}
		return err
	}
	if isClose {
		t.closing(payload)
	}
	return nil
}

func (t *transport) gorillaDeadline() deadline {
	t.mu.Lock()
	at := t.gorillas
	t.mu.Unlock()
	if at.IsZero() {
		return t.writeDeadline()
	}
	return deadline{at: at, callers: true}
}

// framesLength is the length of the frames that p begins, of which the last may
// be longer than p.
func framesLength(p []byte) uint64 {
	var length uint64
	for length < uint64(len(p)) {
		if !hasHeader(p[length:]) {
			return uint64(len(p)) // no frame: somebody writes past gorilla
		}
		h := parseHeader(p[length:])
		length += uint64(h.size) + h.length
	}
	return length
}
