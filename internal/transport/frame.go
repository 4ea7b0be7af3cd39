package transport

import (
	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// nextFrame waits for the header of the next frame and checks it. The header stays in the
// buffer. The peer's close frame is taken out, and returned as a *ws.CloseError: nothing is read
// after it. The read lock is held.
func (t *Conn) nextFrame() (wire.Header, error) {
	if t.reading.err != nil {
		return wire.Header{}, t.reading.err
	}
	if err := t.peek(2); err != nil {
		return wire.Header{}, err
	}
	h := wire.ParseHeader(t.buffer.bytes())
	if violation := t.checkHeader(h); violation != "" {
		return h, t.failProtocol(&wire.ProtocolError{Code: ws.CloseProtocolError, Reason: violation})
	}
	if t.buffer.buffered() < h.Size {
		if err := t.peek(h.Size); err != nil {
			return h, err
		}
		h = wire.ParseHeader(t.buffer.bytes())
	}
	switch {
	case !h.IsControl():
		if h.Opcode != wire.OpContinuation {
			t.messageSize, t.deflated = 0, h.RSV != 0
		}
		t.fragmented = !h.Fin
		t.finalFrame = h.Fin
		return h, t.measure(h.Length)
	case h.Opcode == wire.OpClose:
		return h, t.readClose(h)
	default:
		return h, nil
	}
}

// checkHeader returns how the first two bytes of a frame violate the protocol (RFC 6455, 5.2 to
// 5.5), "" if they do not. The read lock is held.
func (t *Conn) checkHeader(h wire.Header) string {
	switch {
	case h.RSV&^wire.BitRSV1 != 0:
		return "RSV2 or RSV3 is set"
	case h.RSV != 0 && t.deflating == nil:
		return "RSV1 is set, but no extension was agreed on"
	case h.Masked && t.client:
		return "frame is masked"
	case !h.Masked && !t.client:
		return "frame is not masked"
	}
	switch h.Opcode {
	case wire.OpText, wire.OpBinary:
		if t.fragmented {
			return "new message inside a fragmented one"
		}
	case wire.OpContinuation:
		if !t.fragmented {
			return "continuation of no message"
		}
		if h.RSV != 0 {
			return "RSV1 is set on a continuation"
		}
	case wire.OpClose, wire.OpPing, wire.OpPong:
		switch {
		case h.RSV != 0:
			return "RSV1 is set on a control frame"
		case !h.Fin:
			return "control frame is fragmented"
		case h.HasExtendedLength():
			return "control frame is longer than 125 bytes"
		}
	default:
		return "reserved opcode"
	}
	return ""
}

// readClose reads the peer's close frame, whose header is in the buffer, and returns it.
func (t *Conn) readClose(h wire.Header) error {
	whole := h.Size + int(h.Length)
	if err := t.peek(whole); err != nil {
		return err
	}
	payload := t.buffer.bytes()[h.Size:whole]
	wire.Mask(payload, h.Key)
	ce, violation := wire.ParseClose(payload)
	if violation != nil {
		return t.failProtocol(violation)
	}
	t.dropBuffer()
	t.reading.err = ce
	t.happens(eventPeerClose, ce)
	return ce
}

// A controlFrame is a ping or pong. The zero value is none.
type controlFrame struct {
	messageType int
	data        string
}

// nextFragment begins the next frame of a message. If a ping or pong comes first, it returns
// that instead.
func (t *Conn) nextFragment() (ctrl controlFrame, err error) {
	h, err := t.nextFrame()
	switch {
	case err != nil:
		return ctrl, err
	case h.IsControl():
		p, err := t.readControl(h)
		return controlFrame{messageType: int(h.Opcode), data: string(p)}, err
	}
	t.beginFrame(h)
	return ctrl, nil
}

// readControl reads a ping or pong, whose header is in the buffer, and lends its payload.
func (t *Conn) readControl(h wire.Header) ([]byte, error) {
	if err := t.peek(h.Size + int(h.Length)); err != nil {
		return nil, err
	}
	t.beginFrame(h)
	return t.readBuffered(&content{}, true)
}

// beginFrame takes the header of a frame out of the buffer. Its payload comes next.
func (t *Conn) beginFrame(h wire.Header) {
	t.buffer.r += h.Size
	t.frameLeft, t.maskKey = h.Length, h.Key
}

// unmask unmasks the next bytes of the payload.
func (t *Conn) unmask(p []byte) {
	wire.Mask(p, t.maskKey)
	t.maskKey = wire.RotateKey(t.maskKey, len(p))
}

// consume counts n bytes of the current frame as read or dropped, and counts the message if
// that was its end.
func (t *Conn) consume(n int) {
	t.frameLeft -= uint64(n)
	if t.frameLeft == 0 && t.finalFrame {
		t.finalFrame = false
		t.counts.messagesReceived.Add(1)
	}
}
