package transport

import (
	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// nextFrame waits for the header of the next frame and checks it. The frame
// stays where it is, but for the peer's close frame, which comes back as its
// *CloseError: nothing is read after it.
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
			t.length, t.deflated = 0, h.RSV != 0
		}
		t.fragmented = !h.Fin
		t.last = h.Fin
		return h, t.measure(h.Length)
	case h.Opcode == wire.OpClose:
		return h, t.readClose(h)
	default:
		return h, nil
	}
}

// checkHeader says what is wrong with a frame's first two bytes.
func (t *Conn) checkHeader(h wire.Header) string {
	switch {
	case h.RSV&^wire.BitRSV1 != 0:
		return "RSV2 or RSV3 is set"
	case h.RSV != 0 && !t.deflate:
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

// readClose takes the peer's close frame out of the stream.
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

// A control is a ping or pong. The zero value is none.
type control struct {
	messageType int
	data        string
}

// nextFragment begins the next frame of a message, unless it meets a ping or pong.
func (t *Conn) nextFragment() (met control, err error) {
	h, err := t.nextFrame()
	switch {
	case err != nil:
		return met, err
	case h.IsControl():
		p, err := t.control(h)
		return control{messageType: int(h.Opcode), data: string(p)}, err
	}
	t.beginFrame(h)
	return met, nil
}

// control lends the payload of a ping or pong.
func (t *Conn) control(h wire.Header) ([]byte, error) {
	if err := t.peek(h.Size + int(h.Length)); err != nil {
		return nil, err
	}
	t.beginFrame(h)
	return t.buffered(&content{}, true)
}

// beginFrame takes the header of a frame out of the buffer.
func (t *Conn) beginFrame(h wire.Header) {
	t.buffer.r += h.Size
	t.gate, t.key = h.Length, h.Key
}

// unmask unmasks the bytes of the payload that came last.
func (t *Conn) unmask(p []byte) {
	wire.Mask(p, t.key)
	t.key = wire.RotateKey(t.key, len(p))
}

// consumed counts bytes of the current frame that are handed on, or dropped.
func (t *Conn) consumed(n int) {
	t.gate -= uint64(n)
	if t.gate == 0 && t.last {
		t.last = false
		t.counts.messagesReceived.Add(1)
	}
}
