package transport

import (
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

const (
	// CloseGrace is the least time that a close frame, or the search for the peer's, may take.
	CloseGrace = 10 * time.Millisecond

	// coalesceMax is the length in bytes up to which a payload is copied behind its header, so
	// that both leave in one write.
	coalesceMax = 4096

	// onePieceMax is the length in bytes up to which a longer payload is copied likewise, for a
	// first try to write it without waiting.
	onePieceMax = corkMax
)

// writing is the part of a Conn that writes.
type writing struct {
	// messageLock is held from the first frame of a message to its last, frameLock from the
	// first byte of a frame to its last. messageLock is acquired first. Control frames need
	// frameLock alone.
	messageLock, frameLock xsync.Lock

	cork  xsync.Lazy[cork]  // made when a frame is first held back
	queue xsync.Lazy[queue] // made when something is first enqueued

	progressAt atomic.Int64 // LastProgress
	sentAt     atomic.Int64 // LastSent

	armed time.Duration // the age at which the socket's write deadline is; 0: none; frameLock is held

	gorilla xsync.Lazy[gorillaState] // made when gorilla first reads or writes
}

// WriteMessage writes a whole message. It is compressed if CompressesMessage says so.
func (t *Conn) WriteMessage(b *WriteDeadline, opcode byte, p []byte) error {
	if err := t.lockMessage(b); err != nil {
		return err
	}
	defer t.unlockMessage()
	if t.CompressesMessage(len(p)) {
		return t.writeDeflated(b, opcode, p)
	}
	return t.writeFrame(b, opcode, p)
}

// WriteEncoded writes a whole message as it is. If it is compressed, the opcode has BitRSV1, the
// payload was made by deflate.CompressAlone, and content is the message.
func (t *Conn) WriteEncoded(b *WriteDeadline, opcode byte, p, content []byte) error {
	if err := t.lockMessage(b); err != nil {
		return err
	}
	defer t.unlockMessage()
	err := t.writeFrame(b, opcode, p)
	if err == nil && opcode&wire.BitRSV1 != 0 {
		t.enterSent(content)
	}
	return err
}

// WriteControl writes a ping or pong of the application's, of at most wire.MaxControlPayload
// bytes. It needs no messageLock: control frames may be sent between the frames of a message
// (RFC 6455, 5.4).
func (t *Conn) WriteControl(b *WriteDeadline, opcode byte, payload []byte) error {
	return t.writeFrame(b, opcode, payload)
}

// writeFrame writes a frame with the FIN bit. The caller holds messageLock if it is a data frame.
func (t *Conn) writeFrame(b *WriteDeadline, opcode byte, payload []byte) error {
	if err := t.lockFrame(b); err != nil {
		return err
	}
	defer t.unlockFrame()
	return t.writeLocked(b, opcode, payload)
}

// writeLocked is writeFrame with frameLock held.
func (t *Conn) writeLocked(b *WriteDeadline, opcode byte, payload []byte) error {
	err := t.sendFrame(b, opcode, payload)
	if err == nil && wire.IsData(opcode) {
		t.sent(1)
	}
	return err
}

// LastSent returns the age at which the last message was sent, or the connection was opened. It
// is kept only with Config.KeepSentAt, and while goroutines wait to write a message.
func (t *Conn) LastSent() time.Duration { return time.Duration(t.sentAt.Load()) }

// sent counts messages that were sent.
func (t *Conn) sent(messages uint64) {
	if messages == 0 {
		return
	}
	t.counts.messagesSent.Add(messages)
	if t.config.KeepSentAt || t.messageLock.HasWaiters() {
		t.sentAt.Store(int64(t.Age()))
	}
}

// WriteCloseMessage writes a close frame of the application's own, outside of a closing
// handshake. If the peer does not answer within the close timeout, the socket is closed.
func (t *Conn) WriteCloseMessage(b *WriteDeadline, payload []byte) error {
	frame, violation := wire.ParseClose(payload)
	if violation != nil {
		return wire.InvalidCloseError(violation)
	}
	err := t.writeClose(b, frame)
	if err == nil {
		t.expire()
	}
	return err
}

// writeClose writes our close frame. No frame can be written after it.
func (t *Conn) writeClose(b *WriteDeadline, frame *ws.CloseError) error {
	if err := t.lockCloseFrame(b); err != nil {
		return err
	}
	defer t.unlockFrame()
	return t.sendClose(b, frame)
}

// sendClose is writeClose with frameLock held.
func (t *Conn) sendClose(b *WriteDeadline, frame *ws.CloseError) error {
	t.happens(eventCloseFrame, frame)
	if !t.socketEnforces(b) {
		defer t.abortAfter(max(t.CloseTimeout(), CloseGrace))()
	}
	payload := smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	err := t.sendFrame(b, wire.OpClose, wire.AppendClose(payload[:0], frame))
	smallFrames.Put(payload)
	if err == nil {
		t.counts.closeSent.Store(int32(frame.Code)) //nolint:gosec // it has two bytes
	}
	return err
}

// sendFrame sends a frame, behind frames that are held back, or holds it back itself.
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

// sendLarge sends a frame without copying its payload, unless it may leave as one piece.
func (t *Conn) sendLarge(b *WriteDeadline, opcode byte, payload []byte) (err error) {
	small := smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	defer smallFrames.Put(small)
	header := wire.AppendHeader(small[:0], opcode, len(payload))
	if len(payload) > onePieceMax || t.socket == nil || t.armed != 0 || t.corked() {
		return t.uncork(b, header, payload)
	}
	n := t.writeOnePiece(header, payload)
	if n < len(header) {
		_, err = t.sendWaiting(b, header[n:], payload)
	} else if n -= len(header); n < len(payload) {
		_, err = t.sendWaiting(b, payload[n:], nil)
	}
	return err
}

// writeOnePiece writes of a header and a payload what the socket takes without waiting, and holds no
// copy afterwards. Package net would keep a slice for each connection that has ever written two pieces
// at once, and a copy takes no longer than the deadline that such a write needs. frameLock is held.
func (t *Conn) writeOnePiece(header, payload []byte) (n int) {
	whole := corkBuffers.Get().(*corkBuffer) //nolint:errcheck // it is
	n = copy(whole[:], header)
	n += copy(whole[n:], payload)
	n = t.writeNow(whole[:n])
	corkBuffers.Put(whole)
	return n
}

// A smallFrame is memory for a header, and for a payload that is copied behind it.
type smallFrame [wire.MaxHeaderSize + coalesceMax]byte

var smallFrames = sync.Pool{New: func() any { return new(smallFrame) }}
