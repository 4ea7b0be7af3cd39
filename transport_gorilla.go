package websocket

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// Write serves gorilla: p begins a frame or goes on with one. Gorilla writes
// one frame at a time, but also whole prepared messages of several frames, and a
// frame in two calls.
func (t *transport) Write(p []byte) (int, error) {
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
		if _, breach := wire.ParseClose(payload); breach != nil {
			return wire.InvalidCloseError(breach)
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
