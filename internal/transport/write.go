package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

const (
	// CloseGrace is how long a close frame may take to be written where nobody
	// waits for the answer.
	CloseGrace = 10 * time.Millisecond

	// coarseness is the part of WriteTimeout that a deadline on the socket may be
	// short of it and still serve the next write: setting one for each write costs
	// more than all else that is done about it.
	coarseness = 16

	// coalesceMax is the payload in bytes up to which it is copied behind its
	// header and both leave in one write.
	coalesceMax = 4096

	// unknownDeadline is an age so long ago that no write goes without a new deadline.
	unknownDeadline = -time.Duration(1) << 60
)

// writing is what the transport needs to write.
type writing struct {
	// messageLock is held from the first frame of a message to its last, and frameLock
	// from a frame's first byte to its last, whatever number of calls gorilla needs for
	// it. messageLock comes first. Control frames need frameLock alone.
	messageLock, frameLock xsync.Lock

	cork  atomic.Pointer[cork]  // nil until a frame is held back
	queue atomic.Pointer[queue] // nil until something is enqueued

	taken  atomic.Int64 // the age at which a piece of a large frame was last taken
	sentAt atomic.Int64 // the age at which a message last left; kept for heartbeats and those who wait for it

	// armed is the age at which the socket's own deadline is; 0: it has none. Its
	// writer holds the lock.
	armed time.Duration

	callers atomic.Pointer[time.Time] // the caller's deadline, nil for WriteTimeout

	gorilla atomic.Pointer[gorillaState] // nil until gorilla reads or writes something, past us

	watch *watch // nil where there is nothing to look at, or a write can go on without
}

// WriteFrame writes one whole frame.
func (t *Conn) WriteFrame(b *WriteDeadline, opcode byte, payload []byte) error {
	if err := t.lockFrame(b); err != nil {
		return err
	}
	defer t.unlockFrame()
	return t.sendMessage(b, opcode, payload)
}

// sendMessage writes one whole frame, and counts it where it is a message.
func (t *Conn) sendMessage(b *WriteDeadline, opcode byte, payload []byte) error {
	err := t.sendFrame(b, opcode, payload)
	if err == nil && wire.IsData(opcode) {
		t.sent(1)
	}
	return err
}

// LastSent is the age at which the last message left, or that of the connection when it was
// opened. It is kept for heartbeats, where there are any (see config.KeepSentAt), and for
// those who wait for a message to be written.
func (t *Conn) LastSent() time.Duration { return time.Duration(t.sentAt.Load()) }

// sent counts messages that have left.
func (t *Conn) sent(messages uint64) {
	if messages == 0 {
		return
	}
	t.counts.messagesSent.Add(messages)
	if t.config.KeepSentAt || t.messageLock.HasWaiters() {
		t.sentAt.Store(int64(t.Age()))
	}
}

// WriteCloseMessage writes a close frame of the caller's. If the peer does not answer in
// time, the socket is closed.
func (t *Conn) WriteCloseMessage(b *WriteDeadline, payload []byte) error {
	if _, breach := wire.ParseClose(payload); breach != nil {
		return wire.InvalidCloseError(breach)
	}
	err := t.writeClose(b, payload)
	if err == nil {
		t.expire()
	}
	return err
}

// writeClose writes our close frame, the last frame of ours there is.
func (t *Conn) writeClose(b *WriteDeadline, payload []byte) error {
	if err := t.lockCloseFrame(b); err != nil {
		return err
	}
	defer t.unlockFrame()
	return t.sendClose(b, payload)
}

func (t *Conn) sendClose(b *WriteDeadline, payload []byte) error {
	code := t.closing(payload)
	if !t.socketEnforces(b) {
		defer t.abortAfter(max(t.CloseTimeout(), CloseGrace))()
	}
	err := t.sendFrame(b, wire.OpClose, payload)
	if err == nil {
		t.counts.closeSent.Store(int32(code))
	}
	return err
}

// closing notes that a close frame begins, and returns its code: nothing is
// written after it. The write lock is held.
func (t *Conn) closing(payload []byte) (code int) {
	ce, _ := wire.ParseClose(payload) // it was checked
	t.happens(eventCloseFrame, ce)
	return ce.Code
}

func (t *Conn) sendFrame(b *WriteDeadline, opcode byte, payload []byte) error {
	switch {
	case t.client:
		return t.uncork(b, wire.MaskedFrame(opcode, payload), nil)
	case len(payload) > coalesceMax:
		return t.sendLarge(b, opcode, payload)
	case t.canCork(b, opcode, len(payload)):
		t.appendCorked(opcode, payload)
		return nil
	}
	small := smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	err := t.uncork(b, append(wire.AppendHeader(small[:0], opcode, len(payload)), payload...), nil)
	smallFrames.Put(small)
	return err
}

// sendLarge writes a frame whose payload is not worth a copy.
func (t *Conn) sendLarge(b *WriteDeadline, opcode byte, payload []byte) error {
	small := smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	err := t.uncork(b, wire.AppendHeader(small[:0], opcode, len(payload)), payload)
	smallFrames.Put(small)
	return err
}

// A smallFrame is memory for a header, or a frame that leaves in one piece.
type smallFrame [wire.MaxHeaderSize + coalesceMax]byte

var smallFrames = sync.Pool{New: func() any { return new(smallFrame) }}

// send writes to the socket, in one system call where it can: a payload may follow
// the header. The write lock is held; a frame that does not leave whole ends the
// connection, also when the connection's Write leaves by Goexit.
func (t *Conn) send(b *WriteDeadline, p, payload []byte) (n int, err error) {
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
		n, err = t.writePieces(b, p, payload)
	default:
		release := t.boundWrite(b.ctx)
		n, err = t.writePieces(b, p, payload)
		release()
	}
	t.counts.bytesSent.Add(uint64(n))
	if disarmed := t.disarm(); err == nil {
		err = disarmed
	}
	if err != nil {
		err = t.writeFailed(b, err)
	}
	returned = true
	return n, err
}

// ErrPanicked is why nothing can be written after a Goexit, or a panic of ours.
var ErrPanicked = &Error{Op: "write", Err: errors.New("the connection panicked")}

// piece is how much is written at once, in bytes.
const piece = 128 << 10

// writePieces writes to the socket. Each piece that is taken renews the bound, and is a
// sign of life: within a frame there is no place for a ping.
func (t *Conn) writePieces(b *WriteDeadline, p, payload []byte) (n int, err error) {
	if len(p)+len(payload) <= piece {
		return t.writePiece(b, p, payload)
	}
	for {
		m := min(len(p), piece)
		first, rest := p[:m], p[m:]
		var behind []byte
		if len(rest) == 0 {
			m = min(len(payload), piece)
			behind, payload = payload[:m], payload[m:]
		}
		p = rest
		m, err = t.writePiece(b, first, behind)
		n += m
		if err != nil || len(p)+len(payload) == 0 {
			return n, err
		}
		t.tookSome()
		if err = t.renew(b); err != nil {
			return n, err
		}
	}
}

// writePiece writes p and, in the same system call where that can be, what is behind it.
func (t *Conn) writePiece(b *WriteDeadline, p, behind []byte) (n int, err error) {
	switch {
	case t.under.has(writeUntimed):
		return t.writeWithoutDeadline(b, p, behind)
	case len(behind) == 0:
		n, err = t.nc.Write(p)
	case len(p) == 0:
		n, err = t.nc.Write(behind)
	default:
		n, err = t.writeVector(p, behind)
	}
	if err != nil && t.isLook(b, err) {
		return t.writeSlowly(b, p, behind, n, err)
	}
	return n, err
}

func (t *Conn) writeVector(p, behind []byte) (int, error) {
	v := vectors.Get().(*vector) //nolint:errcheck // it is
	v.parts = [...][]byte{p, behind}
	v.buffers = v.parts[:]
	n, err := v.buffers.WriteTo(t.nc)
	*v = vector{}
	vectors.Put(v)
	return int(n), err
}

// A vector is a header and its payload. It has memory of its own, as it would escape
// otherwise.
type vector struct {
	parts   [2][]byte
	buffers net.Buffers
}

var vectors = sync.Pool{New: func() any { return new(vector) }}

// arm gives the socket a deadline to write with. One of ours that is left from
// an earlier write and nearly as late is good enough. Its error is that of set.
func (t *Conn) arm(b *WriteDeadline) error {
	at := b.deadline
	if at.IsZero() && b.timeout > 0 {
		now, d := t.Age(), t.firstLook(b)
		if left := t.armed - now; left <= d && left >= d-b.timeout/coarseness {
			return nil
		}
		if t.watch != nil {
			return t.watch.begin(b)
		}
		at = t.begun.Add(now + d)
	}
	if !at.IsZero() || t.armed != 0 {
		return t.set(at)
	}
	return nil
}

// disarm takes the deadline back, unless it may stay.
func (t *Conn) disarm() error {
	switch {
	case t.coarse:
		return nil
	case t.watch != nil:
		return t.watch.end()
	default:
		return t.set(time.Time{})
	}
}

func (t *Conn) set(writeDeadline time.Time) error {
	t.armed = 0
	if !writeDeadline.IsZero() {
		t.armed = writeDeadline.Sub(t.begun)
	}
	err := t.nc.SetWriteDeadline(writeDeadline)
	if t.isPanic(err) {
		return err
	}
	if !writeDeadline.IsZero() && !reaches(err) {
		t.under.set(writeUntimed)
	} else if t.under.has(writeUntimed) {
		t.under.clear(writeUntimed)
	}
	return nil
}

// interruptWrite ends the write under way, whose context has ended.
func (t *Conn) interruptWrite(ctx context.Context) {
	err := t.nc.SetWriteDeadline(longAgo)
	if !reaches(err) && t.under.clear(writeByContext) {
		t.FailUnreached("write", context.Cause(ctx), err)
	}
}

// boundWrite ends the write under way when ctx ends. Whoever writes next sets a
// deadline of its own.
func (t *Conn) boundWrite(ctx context.Context) (release func()) {
	t.under.set(writeByContext)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		t.events.Guard(func() { t.interruptWrite(ctx) })
	})
	return func() {
		t.under.clear(writeByContext)
		if !stop() {
			<-interrupted
			t.armed = unknownDeadline
		}
	}
}

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
	case errors.Is(err, net.ErrClosed): // by way of NetConn, or beneath TLS by abort
		_ = t.closeLocal()
		return t.endError()
	default: // EPIPE, ECONNRESET, or what other networks call it
		return t.hangUp(&Error{Op: "write", Err: err, Gone: true})
	}
}
