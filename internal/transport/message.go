package transport

import (
	"context"
	"math"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// never is the time after which a connection that is not to be parked is quiet.
const never time.Duration = -1

// NoMessage is the message type that is returned with an error, as by gorilla.
const NoMessage = -1

// ReadMessage returns the next message. ctx bounds the read: a read within which it ends fails
// with the cause, and if that is in the middle of a message, so does every later one.
//
// With lend, the message is a loan: the caller may use it, and write to it, until the next read.
// Otherwise it belongs to the caller.
//
// Once this end has begun to close the connection, messages are dropped, until the peer's close
// frame or another error. Only the reading goroutine may call it.
func (t *Conn) ReadMessage(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	if err := t.unreadable(ctx); err != nil {
		return NoMessage, nil, err
	}
	for {
		if ctx.Done() != nil {
			messageType, p, err = t.readMessageBounded(ctx, lend)
		} else if messageType, p, err = t.readWhole(lend, never); p == nil && err == nil {
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

// readMessageBounded reads a message within ctx, which can end.
func (t *Conn) readMessageBounded(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	release := t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	if messageType, p, err = t.readWhole(lend, never); p == nil && err == nil {
		if err = t.checkContext(ctx); err == nil { // a handler may have canceled it
			p, err = t.gather(messageType, lend)
		}
	}
	succeeded = err == nil
	return messageType, p, err
}

// readWhole reads the next message, if that is one frame which is not too long to be inflated
// whole. Of any other message it begins the first frame, and returns the type and nil: gather
// must read it. If no message begins to arrive for the time quiet, it returns errQuiet.
func (t *Conn) readWhole(lend bool, quiet time.Duration) (messageType int, p []byte, err error) {
	if t.current != nil {
		if err := t.skipMessage(); err != nil {
			return NoMessage, nil, err
		}
	}
	for {
		messageType, p, err := t.readWholeLocked(lend, quiet)
		switch {
		case err == errQuiet: //nolint:errorlint // of our own, never wrapped
			return NoMessage, nil, err
		case err != nil:
		case messageType == ws.PingMessage, messageType == ws.PongMessage:
			if err = t.events.Control(messageType, string(p)); err == nil {
				continue
			}
		}
		if err != nil {
			return NoMessage, nil, t.endReads(err)
		}
		return messageType, p, nil
	}
}

// readWholeLocked is readWhole, but returns pings and pongs, too, as loans. It waits for a frame
// before it calls what handles one, so that the stack of a connection that waits stays small.
func (t *Conn) readWholeLocked(lend bool, quiet time.Duration) (int, []byte, error) {
	err := t.lockReadable()
	if err != nil {
		return NoMessage, nil, err
	}
	defer t.unlockRead()
	if quiet >= 0 {
		err = t.awaitMessage(quiet)
	} else {
		err = t.peek(2)
	}
	if err != nil {
		return NoMessage, nil, err
	}
	if wire.IsClose(t.buffer.bytes()) { // not by way of readNext: see AnswerClose
		_, err = t.nextFrame()
		return NoMessage, nil, err
	}
	return t.readNext(lend)
}

// readNext is readWholeLocked once a frame begins to arrive.
func (t *Conn) readNext(lend bool) (messageType int, p []byte, err error) {
	h, err := t.nextFrame()
	switch {
	case err != nil:
		return NoMessage, nil, err
	case h.IsControl():
		if p, err = t.readControl(h); err != nil {
			return NoMessage, nil, err
		}
		return int(h.Opcode), p, nil
	}
	t.beginFrame(h)
	c := content{text: t.isChecked(h.Opcode)}
	switch {
	case t.fragmented, h.RSV != 0 && h.Length > maxInflated, h.Length > math.MaxInt: // an int may have 32 bits
		return int(h.Opcode), nil, nil
	case h.RSV != 0:
		p, err = t.inflated(&c, lend)
	case h.Length <= uint64(t.buffer.buffered()):
		p, err = t.readBuffered(&c, lend)
	default:
		p, err = t.readArriving(&c, lend)
	}
	if err != nil {
		return NoMessage, nil, t.failIfViolation(err)
	}
	t.endMessage()
	return int(h.Opcode), p, nil
}

// isChecked reports whether a message with this opcode must be valid UTF-8.
func (t *Conn) isChecked(opcode byte) bool {
	return opcode == wire.OpText && !t.config.SkipUTF8Validation
}

// endMessage counts a message that was read whole, and notes whether the next one can be read
// without waiting: then small frames that are written are corked.
func (t *Conn) endMessage() {
	t.consume(0)
	switch more := t.buffer.hasFrame() && !t.readIsBounded(); {
	case more == t.flags.has(moreBuffered):
	case more:
		t.flags.set(moreBuffered)
	default:
		t.flags.clear(moreBuffered)
	}
}

// readBuffered returns the payload of a frame that is completely in the buffer. A loan is that
// part of the buffer.
func (t *Conn) readBuffered(c *content, lend bool) ([]byte, error) {
	n := int(t.frameLeft) //nolint:gosec // it is in memory
	at := t.buffer.r
	p := t.buffer.bytes()[:n:n]
	t.buffer.r += n
	t.frameLeft = 0
	wire.Mask(p, t.maskKey) // to the end of the frame: the key is not needed any more
	err := c.take(p, 0)     // measure has checked the limit
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return nil, err
	}
	l := bufpool.Buffer{Memory: &t.buffer.b, Offset: int32(at), Len: n, NotPooled: true} //nolint:gosec // a buffer is small
	return t.deliver(l, lend), nil
}

// readArriving returns the payload of a message of one frame that is not completely in the
// buffer.
func (t *Conn) readArriving(c *content, lend bool) ([]byte, error) {
	a := newArrival(lend)
	defer a.end()
	err := t.payload(a, c)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return nil, err
	}
	return t.deliverArrival(a), nil
}

// deliverArrival returns a message that has arrived completely.
func (t *Conn) deliverArrival(a *arrival) []byte {
	if !a.lent {
		return a.own()
	}
	t.lent = a.lend()
	return t.lent.Bytes()
}

// gather reads a message that has several frames, or is too long to be inflated whole. Its
// first frame has begun.
func (t *Conn) gather(messageType int, lend bool) ([]byte, error) {
	c := content{text: t.isChecked(byte(messageType))} //nolint:gosec // it was an opcode
	returned := false
	defer func() {
		if !returned { // a handler panicked: the next read drops what is left of the message
			t.current = t.interrupted(messageType, c)
		}
	}()
	p, err := t.gatherFrames(&c, lend)
	returned = true
	if err != nil {
		return nil, t.endReads(err)
	}
	return p, nil
}

// interrupted returns a reader of what is left of a message that gather did not finish. If later
// messages need its content, the reader goes on with the inflater.
func (t *Conn) interrupted(messageType int, c content) *messageReader {
	m := &messageReader{t: t, messageType: messageType}
	if t.deflating != nil && t.deflating.arrives != nil {
		m.content, m.inflater, m.deflated = c, t.deflating.arrives, true
	}
	return m
}

// gatherFrames is gather without what follows an error.
func (t *Conn) gatherFrames(c *content, lend bool) ([]byte, error) {
	if err := t.lockReadable(); err != nil {
		return nil, err
	}
	deflated := t.deflated
	t.unlockRead()
	if deflated {
		return t.gatherInflated(c, lend)
	}
	a := newArrival(lend)
	defer a.end()
	for {
		p, ctrl, err := t.gatherLocked(a, c)
		if ctrl.messageType != 0 && err == nil {
			err = t.events.Control(ctrl.messageType, ctrl.data)
		}
		if err != nil || p != nil {
			return p, err
		}
	}
}

// gatherLocked reads to the end of the message, which it returns, or to a ping or pong before.
func (t *Conn) gatherLocked(a *arrival, c *content) (p []byte, ctrl controlFrame, err error) {
	if err := t.lockReadable(); err != nil {
		return nil, ctrl, err
	}
	defer t.unlockRead()
	for {
		if t.messageSize > math.MaxInt { // an int may have 32 bits
			return nil, ctrl, t.failProtocol(wire.ErrTooBig)
		}
		err := t.payload(a, c)
		if err == nil && !t.fragmented {
			err = c.end()
		}
		switch {
		case err != nil:
			return nil, ctrl, t.failIfViolation(err)
		case !t.fragmented:
			t.endMessage()
			return t.deliverArrival(a), ctrl, nil
		}
		if err := t.peek(2); err != nil { // here, where the stack is shallow
			return nil, ctrl, err
		}
		if ctrl, err = t.nextFragment(); err != nil || ctrl.messageType != 0 {
			return nil, ctrl, err
		}
	}
}

// gatherInflated is gather for a compressed message.
func (t *Conn) gatherInflated(c *content, lend bool) ([]byte, error) {
	out, err := t.inflateArriving(c)
	if err != nil {
		return nil, t.RefuseMessage(err)
	}
	if !t.lockRead() { // the socket was closed: no later read would end a loan
		return t.deliver(out, false), nil
	}
	defer t.unlockRead()
	return t.deliver(out, lend), nil
}

// inflateArriving returns the content of a compressed message, which the caller must release.
func (t *Conn) inflateArriving(c *content) (out bufpool.Buffer, err error) {
	z, err := t.newInflater(true)
	if err != nil {
		return out, err
	}
	returned := false
	defer func() {
		if returned || !t.deflating.receives.Takeover { // otherwise interrupted keeps it
			t.closeInflater(z)
		}
	}()
	err = t.inflate(z, c)
	returned = true
	if err != nil {
		return out, err
	}
	return z.Take(), nil
}
