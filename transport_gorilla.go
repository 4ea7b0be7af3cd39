package websocket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// A gorillaView is the net.Conn that gorilla gets, for its opening handshake and for code
// that was written for its connection. Gorilla reads whole, plain frames from it, whatever
// was agreed on, and its frames are taken apart again. It may be used as gorilla's
// connection may: by one goroutine that reads, and one that writes.
type gorillaView transport

// A viewedMessage is a message on its way to gorilla, in frames.
type viewedMessage struct {
	messageReader
	began bool          // and is not at its end
	piece bufpool.Chunk // memory for the payload of a frame

	header  [wire.MaxHeaderSize]byte
	rest    []byte // of the header that is to be read
	payload []byte // that is, behind it
}

// Read reads on in a frame, and begins another one where that has ended. The header comes
// by itself, so that the payload goes past gorilla's buffer.
func (v *gorillaView) Read(p []byte) (int, error) {
	t := (*transport)(v)
	if t.viewed == nil {
		t.viewed = new(viewedMessage)
	}
	m := t.viewed
	if len(m.rest)+len(m.payload) == 0 {
		if err := t.viewFrame(m); err != nil {
			return 0, err
		}
	}
	if len(m.rest) > 0 {
		n := copy(p, m.rest)
		m.rest = m.rest[n:]
		return n, nil
	}
	n := copy(p, m.payload)
	m.payload = m.payload[n:]
	return n, nil
}

// viewFrame makes a frame of what comes next of a message. One that nobody reads any more,
// because the engine was asked for the next one, ends at once.
func (t *transport) viewFrame(m *viewedMessage) error {
	if err := t.readFailure(); err != nil {
		return err
	}
	opcode, n, last := byte(wire.OpContinuation), 0, true
	if !m.began {
		if err := t.nextMessage(&m.messageReader); err != nil {
			return err
		}
		m.began, opcode = true, byte(m.messageType) //nolint:gosec // as it was read
	}
	if t.current == &m.messageReader {
		p := m.piece.Next(int(min(m.content.n, math.MaxInt)), bufpool.MaxChunk, m.hasMore())
		var err error
		n, err = m.read(p)
		if err != nil && err != io.EOF { //nolint:errorlint // a wrapped one is no end
			return err
		}
		m.payload, last = p[:n], err != nil
	}
	if last {
		m.began = false
		m.piece.Release()
	}
	m.rest = wire.AppendHeader(m.header[:0], opcode, n)
	if !last {
		m.rest[0] &^= wire.BitFin
	}
	if !t.client {
		m.rest[1] |= wire.BitMask
		m.rest = append(m.rest, 0, 0, 0, 0) // the zero key leaves the payload as it is
	}
	return nil
}

// Close is what gorilla's Close and its failed handshakes come to: the
// application ends the connection without a closing handshake.
func (v *gorillaView) Close() error {
	t := (*transport)(v)
	t.findPeerClose(closeGrace)
	return t.closeLocal()
}

// LocalAddr is never nil.
func (v *gorillaView) LocalAddr() net.Addr { return (*transport)(v).localAddr() }

// RemoteAddr is never nil, either.
func (v *gorillaView) RemoteAddr() net.Addr { return (*transport)(v).remoteAddr() }

// SetDeadline sets both deadlines.
func (v *gorillaView) SetDeadline(d time.Time) error {
	return errors.Join(v.SetReadDeadline(d), v.SetWriteDeadline(d))
}

// SetReadDeadline sets the caller's deadline for reads.
func (v *gorillaView) SetReadDeadline(d time.Time) error {
	t := (*transport)(v)
	if !t.open {
		return t.nc.SetReadDeadline(d)
	}
	return t.setReadDeadline(d)
}

// SetWriteDeadline is called by gorilla before each frame. The caller's own
// deadline does not come this way.
func (v *gorillaView) SetWriteDeadline(d time.Time) error {
	t := (*transport)(v)
	if !t.open {
		return t.boundSwitching(d)
	}
	g := t.gorillas()
	t.mu.Lock()
	g.deadline = d
	t.mu.Unlock()
	return nil
}

// Write serves gorilla: p begins a frame or goes on with one. Gorilla writes
// one frame at a time, but also whole prepared messages of several frames, and a
// frame in two calls.
func (v *gorillaView) Write(p []byte) (int, error) {
	t := (*transport)(v)
	if !t.open {
		return t.writeSwitching(p)
	}
	g := t.gorillas()
	b := t.gorillasBound(g)
	if g.rest.bytes == 0 {
		rest := framesOf(p)
		if err := t.beginGorillas(&b, p, &rest); err != nil {
			return 0, err
		}
		g.rest = rest
		if t.client && rest.bytes == uint64(len(p)) { // as are all of gorilla's there
			p = wire.Remask(p)
		}
	}
	if t.holds() {
		if err := t.uncork(&b, nil, nil); err != nil {
			g.rest.bytes = 0
			t.unlockWrite()
			return 0, err
		}
	}
	rest := g.rest
	if rest.closeCode != 0 {
		defer t.expire()
		defer t.abortAfter(max(time.Duration(t.closeTimeout.Load()), closeGrace))()
	}
	n, err := t.send(&b, p, nil)
	g.rest.bytes -= min(g.rest.bytes, uint64(len(p)))
	if err != nil {
		g.rest.bytes = 0
	}
	if g.rest.bytes == 0 {
		if err == nil {
			t.sent(rest.messages)
			t.counts.CloseSent.Add(rest.closeCode)
		}
		t.unlockWrite()
	}
	return n, err
}

// writeSwitching writes gorilla's 101, in which the client may be waiting for one thing
// more.
func (t *transport) writeSwitching(p []byte) (int, error) {
	switching := p
	if confirms, ok := t.events.(noEvents); ok && confirms.window {
		switching = bytes.Replace(p, []byte(handshake.DeflateTerms), []byte(handshake.DeflateTerms+handshake.LargestWindow), 1)
	}
	if _, err := t.nc.Write(switching); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beginGorillas takes the write lock for a frame of gorilla's.
func (t *transport) beginGorillas(b *bound, p []byte, rest *gorillaFrames) error {
	var payload []byte
	isClose := p[0]&0xf == wire.OpClose && rest.bytes == uint64(len(p))
	if isClose {
		h := wire.ParseHeader(p)
		payload = bytes.Clone(p[h.Size:])
		wire.Mask(payload, h.Key)
		if _, violation := wire.ParseClose(payload); violation != nil {
			return wire.InvalidCloseError(violation)
		}
	}
	if err := t.lockWrite(b); err != nil {
		var waited *ioError
		control := p[0]&0x8 != 0 // of code that has the embedded connection
		if t.unwritable() == nil && errors.As(err, &waited) && !control {
			// Gorilla writes nothing more after an error, and the message may have
			// begun: there is no going on.
			return t.fail(&ioError{op: "write", err: waited.err, gone: !b.callers && b.ctx.Err() == nil})
		}
		return err
	}
	if isClose {
		rest.closeCode = int32(t.closing(payload))
	}
	return nil
}

func (t *transport) gorillasBound(g *gorillaWriting) bound {
	ctx := context.Background()
	if p := g.context.Load(); p != nil {
		ctx = *p
	}
	t.mu.Lock()
	at := g.deadline
	t.mu.Unlock()
	if at.IsZero() {
		b := t.bound(ctx)
		b.since = time.Duration(g.since.Load())
		return b
	}
	return bound{ctx: ctx, at: at, callers: true}
}

// gorillaWriting is what is known of what gorilla writes.
type gorillaWriting struct {
	rest     gorillaFrames                   // of those under way; their writer holds the write lock
	context  atomic.Pointer[context.Context] // of the message, nil for one that does not end
	since    atomic.Int64                    // of the bound of a whole message; 0: it did not wait, or it is none
	deadline time.Time                       // that gorilla set last; guarded by mu
}

// gorillas is that of the connection, most of which do without.
func (t *transport) gorillas() *gorillaWriting {
	if t.byGorilla.Load() == nil {
		t.byGorilla.CompareAndSwap(nil, new(gorillaWriting))
	}
	return t.byGorilla.Load()
}

// gorillaFrames are frames that gorilla writes.
type gorillaFrames struct {
	bytes     uint64 // still to come
	messages  uint64 // that end in them
	closeCode int32  // of a close frame; 0: none
}

// framesOf looks at the frames that p begins, of which the last may be longer
// than p.
func framesOf(p []byte) (f gorillaFrames) {
	for f.bytes < uint64(len(p)) {
		rest := p[f.bytes:]
		if !wire.HasHeader(rest) {
			return gorillaFrames{bytes: uint64(len(p))} // no frame: somebody writes past gorilla
		}
		h := wire.ParseHeader(rest)
		f.bytes += uint64(h.Size) + h.Length
		if h.Fin && !h.IsControl() {
			f.messages++
		}
	}
	return f
}
