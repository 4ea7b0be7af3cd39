package transport

import (
	"context"
	"math"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// NoMessage is the message type that comes with an error, as gorilla has it.
const NoMessage = -1

// ReadMessage returns the next message. Those that come once we close the connection are not
// delivered: they are read up to the peer's close frame or another error.
func (t *Conn) ReadMessage(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	if err := t.unreadable(ctx); err != nil {
		return NoMessage, nil, err
	}
	for {
		if ctx.Done() != nil {
			messageType, p, err = t.readMessageBounded(ctx, lend)
		} else if messageType, p, err = t.readWhole(lend); p == nil && err == nil {
			p, err = t.gather(messageType, lend)
		}
		switch {
		case err != nil:
			return NoMessage, nil, err
		case t.delivers():
			return messageType, p, nil
		}
	}
}

func (t *Conn) readMessageBounded(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	release := t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	if messageType, p, err = t.readWhole(lend); p == nil && err == nil {
		if err = t.endRead(ctx); err == nil { // a handler may have ended it
			p, err = t.gather(messageType, lend)
		}
	}
	succeeded = err == nil
	return messageType, p, err
}

// readWhole reads the next message where that is one frame that is not too long to be
// inflated whole. Of another one it returns only the type, for gather. A message that is to
// be lent ends the loan of the one before, and is the caller's until the next read;
// otherwise it is the caller's for good.
func (t *Conn) readWhole(lend bool) (messageType int, p []byte, err error) {
	if t.current != nil {
		if err := t.skipMessage(); err != nil {
			return NoMessage, nil, err
		}
	}
	for {
		messageType, p, err := t.readWholeLocked(lend)
		switch {
		case err != nil:
		case messageType == ws.PingMessage, messageType == ws.PongMessage:
			if err = t.events.Control(messageType, string(p)); err == nil {
				continue
			}
		}
		if err != nil {
			return NoMessage, nil, t.readEnded(err)
		}
		return messageType, p, nil
	}
}

// readWholeLocked is readWhole, but for pings and pongs, which are lent. It waits for a
// frame before anything else: the stack of a connection that waits stays small.
func (t *Conn) readWholeLocked(lend bool) (int, []byte, error) {
	if err := t.lockReadable(); err != nil {
		return NoMessage, nil, err
	}
	defer t.unlockRead()
	if err := t.peek(2); err != nil {
		return NoMessage, nil, err
	}
	return t.message(lend)
}

func (t *Conn) message(lend bool) (messageType int, p []byte, err error) {
	h, err := t.nextFrame()
	switch {
	case err != nil:
		return NoMessage, nil, err
	case h.IsControl():
		if p, err = t.control(h); err != nil {
			return NoMessage, nil, err
		}
		return int(h.Opcode), p, nil
	}
	t.beginFrame(h)
	c := content{text: t.isChecked(h.Opcode)}
	switch {
	case t.fragmented, h.RSV != 0 && h.Length > maxInflated, h.Length > math.MaxInt: // of 32 bits
		return int(h.Opcode), nil, nil
	case h.RSV != 0:
		p, err = t.inflated(&c, lend)
	case h.Length <= uint64(t.buffer.buffered()):
		p, err = t.buffered(&c, lend)
	default:
		p, err = t.arriving(&c, lend)
	}
	if err != nil {
		return NoMessage, nil, t.failIfViolation(err)
	}
	t.endWhole()
	return int(h.Opcode), p, nil
}

// isChecked reports whether a message must be UTF-8.
func (t *Conn) isChecked(opcode byte) bool {
	return opcode == wire.OpText && !t.config.SkipUTF8Validation
}

// endWhole is what follows a message that was read whole.
func (t *Conn) endWhole() {
	t.consumed(0)
	if more := t.buffer.hasFrame() && !t.readIsBounded(); more != t.more.Load() {
		t.more.Store(more)
	}
}

// buffered returns the payload of a frame that is in the buffer, and lends it as it stands
// there.
func (t *Conn) buffered(c *content, lend bool) ([]byte, error) {
	n := int(t.gate) //nolint:gosec // it is in memory
	at := t.buffer.r
	p := t.buffer.bytes()[:n:n]
	t.buffer.r += n
	t.gate = 0
	t.unmask(p)
	err := c.take(p, 0) // it was measured
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return nil, err
	}
	l := bufpool.Buffer{Memory: &t.buffer.b, Offset: int32(at), Len: n, NotPooled: true} //nolint:gosec // buffers are small
	return t.deliver(l, lend), nil
}

// arriving reads the payload of a message of one frame that is not all in the buffer, into
// memory of its own or a loan.
func (t *Conn) arriving(c *content, lend bool) ([]byte, error) {
	a := newArrival(lend)
	defer a.end()
	err := t.payload(a, c)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return nil, err
	}
	return t.arrived(a), nil
}

// arrived returns the message that has come, in memory of its own or as a loan.
func (t *Conn) arrived(a *arrival) []byte {
	if !a.lent {
		return a.own()
	}
	t.lent = a.lend()
	return t.lent.Bytes()
}

// gather reads a message that has several frames, or one too long to be inflated whole. The
// first one has begun.
func (t *Conn) gather(messageType int, lend bool) ([]byte, error) {
	p, err := t.gatherFrames(messageType, lend)
	if err != nil {
		return nil, t.readEnded(err)
	}
	return p, nil
}

func (t *Conn) gatherFrames(messageType int, lend bool) ([]byte, error) {
	c := content{text: t.isChecked(byte(messageType))} //nolint:gosec // as it was read
	if err := t.lockReadable(); err != nil {
		return nil, err
	}
	deflated := t.deflated
	t.unlockRead()
	if deflated {
		return t.gatherInflated(&c, lend)
	}
	a := newArrival(lend)
	defer a.end()
	for {
		p, met, err := t.gatherLocked(a, &c)
		if met.messageType != 0 && err == nil {
			err = t.events.Control(met.messageType, met.data)
		}
		if err != nil || p != nil {
			return p, err
		}
	}
}

// gatherLocked reads on up to the end of the message, or a ping or pong before it.
func (t *Conn) gatherLocked(a *arrival, c *content) (p []byte, met control, err error) {
	if err := t.lockReadable(); err != nil {
		return nil, met, err
	}
	defer t.unlockRead()
	for {
		if t.length > math.MaxInt { // of 32 bits
			return nil, met, t.failProtocol(wire.ErrTooBig)
		}
		err := t.payload(a, c)
		if err == nil && !t.fragmented {
			err = c.end()
		}
		switch {
		case err != nil:
			return nil, met, t.failIfViolation(err)
		case !t.fragmented:
			t.endWhole()
			return t.arrived(a), met, nil
		}
		if err := t.peek(2); err != nil { // likewise
			return nil, met, err
		}
		if met, err = t.nextFragment(); err != nil || met.messageType != 0 {
			return nil, met, err
		}
	}
}

// gatherInflated is gather for a compressed message.
func (t *Conn) gatherInflated(c *content, lend bool) ([]byte, error) {
	z := deflate.NewReader((*compressedPayload)(t), true)
	err := t.inflate(z, c)
	out := z.Take()
	z.Close()
	if err != nil {
		out.Release()
		return nil, t.RefuseMessage(err)
	}
	if !t.lockRead() { // the socket was closed since: there is no other read that ends a loan
		return t.deliver(out, false), nil
	}
	defer t.unlockRead()
	return t.deliver(out, lend), nil
}
