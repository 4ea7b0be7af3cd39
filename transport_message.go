package websocket

import (
	"bytes"
	"math"
	"unicode/utf8"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// readWhole reads the next message without gorilla where that is one frame that is not
// too long to be inflated whole. Otherwise it returns none, and the frame is gorilla's to
// read. Text is validated where that is asked for. A message that is to be lent ends the
// loan of the one before, and is the caller's until the next read; otherwise it is the
// caller's for good.
func (t *transport) readWhole(validate, lend bool) (messageType int, p []byte, err error) {
	for {
		messageType, p, err := t.readWholeLocked(validate, lend)
		if err == nil && messageType != PingMessage && messageType != PongMessage {
			return messageType, p, nil
		}
		if err == nil {
			err = t.events.Control(messageType, string(p))
		}
		if err != nil {
			return noMessage, nil, t.readEnded(err)
		}
	}
}

// readWholeLocked is readWhole, but for pings and pongs, which are lent. It waits for a
// frame before anything else: the stack of a connection that waits stays small.
func (t *transport) readWholeLocked(validate, lend bool) (int, []byte, error) {
	if !t.lockRead() {
		return noMessage, nil, nil
	}
	defer t.unlockRead()
	if t.gate != 0 || t.reading.err != nil || t.isClosed() {
		return noMessage, nil, nil
	}
	t.lent.Release()
	if err := t.peek(2); err != nil {
		return noMessage, nil, err
	}
	return t.message(validate, lend)
}

func (t *transport) message(validate, lend bool) (messageType int, p []byte, err error) {
	inMessage := t.fragmented
	h, err := t.nextFrame()
	switch {
	case err != nil:
		return noMessage, nil, err
	case h.IsControl():
		if p, err = t.control(h); err != nil {
			return noMessage, nil, err
		}
		return int(h.Opcode), p, nil
	case inMessage, !h.Fin, h.RSV != 0 && h.Length > maxInflated, h.Length > math.MaxInt: // of 32 bits
		t.gate = uint64(h.Size) + h.Length
		return noMessage, nil, nil
	}
	t.header = false
	t.buffer.r += h.Size
	validate = validate && h.Opcode == wire.OpText
	switch {
	case h.RSV != 0:
		p, err = t.inflated(h, validate, lend)
	case h.Length <= uint64(t.buffer.buffered()):
		p, err = t.buffered(h, validate, lend)
	default:
		p, err = t.arriving(h, validate, lend)
	}
	if err != nil {
		return noMessage, nil, t.judged(err)
	}
	t.handOn(0)
	if more := t.buffer.hasFrame() && !t.readIsBounded(); more != t.more.Load() {
		t.more.Store(more)
	}
	return int(h.Opcode), p, nil
}

// judged ends the connection where what was read of a message broke the protocol. Its
// memory is given back by then: the peer is waited for.
func (t *transport) judged(err error) error {
	if breach, ok := err.(*wire.ProtocolError); ok && t.reading.err == nil { //nolint:errorlint // bare, as it comes from here
		return t.refuse(breach)
	}
	return err
}

// control lends the payload of a ping or pong.
func (t *transport) control(h wire.Header) ([]byte, error) {
	if err := t.peek(h.Size + int(h.Length)); err != nil {
		return nil, err
	}
	t.header = false
	t.buffer.r += h.Size
	return t.buffered(h, false, true)
}

// buffered returns a payload that is in the buffer, and lends it as it stands there.
func (t *transport) buffered(h wire.Header, validate, lend bool) ([]byte, error) {
	n := int(h.Length)
	at := t.buffer.r
	p := t.buffer.bytes()[:n:n]
	t.buffer.r += n
	wire.Mask(p, h.Key)
	if validate && !utf8.Valid(p) {
		return nil, wire.ErrInvalidText
	}
	if !lend {
		return bytes.Clone(p), nil
	}
	t.lent = bufpool.Buffer{Memory: &t.buffer.b, Offset: int32(at), Len: n, NotPooled: true}
	return p, nil
}

// arriving reads a payload that is not all in the buffer, into memory of its own or a loan.
func (t *transport) arriving(h wire.Header, validate, lend bool) ([]byte, error) {
	a := newArrival(int(h.Length), lend)
	defer a.end()
	if err := t.payload(a, h.Key, validate); err != nil {
		return nil, err
	}
	if !lend {
		return a.own(), nil
	}
	t.lent = a.lend()
	return t.lent.Bytes(), nil
}

// receive reads some bytes to where they are wanted: what is in the buffer and, when
// that is empty, what the socket has. Few are read by way of the buffer.
func (t *transport) receive(p []byte) (int, error) {
	if t.buffer.buffered() == 0 && len(p) > 0 {
		if len(p) >= t.bufferSize()/2 {
			return t.receiveDirectly(p)
		}
		if err := t.peek(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.buffer.bytes())
	if n > 0 {
		t.buffer.r += n
	}
	return n, nil
}

func (t *transport) receiveDirectly(p []byte) (int, error) {
	t.uncorkBeforeWaiting()
	t.giveBuffer()
	n, err := t.readSocket(p)
	if n == 0 {
		return 0, t.readFailed(err)
	}
	return n, nil
}

// hasMore reports whether the next read of the message returns without waiting for the peer.
func (t *transport) hasMore() bool {
	if !t.lockRead() {
		return false
	}
	defer t.unlockRead()
	p := t.buffer.bytes()
	switch {
	case t.gate > 0:
		return len(p) > 0
	case !t.fragmented: // it has ended
		return true
	case !wire.HasHeader(p):
		return false
	}
	h := wire.ParseHeader(p)
	return !h.IsControl() && h.Length > 0 && len(p) > h.Size
}
