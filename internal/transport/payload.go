package transport

import (
	"errors"
	"io"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// compressedPayload is the current message, as it is on the wire, for package deflate.
type compressedPayload Conn

// Read reads some bytes of the message. At its end it returns io.EOF.
func (c *compressedPayload) Read(p []byte) (int, error) { return (*Conn)(c).readPayload(p) }

// HasMore reports whether Read returns without waiting for the peer.
func (c *compressedPayload) HasMore() bool { return (*Conn)(c).hasMore() }

// readPayload reads some bytes of the current message, as it is on the wire. If p is nil, it
// drops some instead. At the end of the message it returns io.EOF, and no other error is that.
// It handles pings and pongs between frames, with no lock held.
func (t *Conn) readPayload(p []byte) (int, error) {
	for {
		if err := t.ReadFailure(); err != nil {
			return 0, err
		}
		n, ctrl, err := t.readPayloadLocked(p)
		if ctrl.messageType != 0 && err == nil {
			err = t.events.Control(ctrl.messageType, ctrl.data)
		}
		switch {
		case err == errEndOfMessage: //nolint:errorlint // readPayloadLocked does not wrap it
			return 0, io.EOF
		case err != nil:
			return 0, t.endReads(err)
		case ctrl.messageType == 0:
			return n, nil
		}
	}
}

// errEndOfMessage is the end of a message. A handler cannot return it, as it can io.EOF.
var errEndOfMessage = errors.New("websocket: end of message")

// readPayloadLocked is readPayload up to a ping or pong, which it returns.
func (t *Conn) readPayloadLocked(p []byte) (n int, ctrl controlFrame, err error) {
	if err := t.lockReadable(); err != nil {
		return 0, ctrl, err
	}
	defer t.unlockRead()
	t.inParts = true
	defer func() { t.inParts = false }()
	for t.frameLeft == 0 {
		if !t.fragmented {
			return 0, ctrl, errEndOfMessage
		}
		if err := t.peek(2); err != nil { // here, where the stack is shallow: see readWholeLocked
			return 0, ctrl, err
		}
		if ctrl, err = t.nextFragment(); err != nil || ctrl.messageType != 0 {
			return 0, ctrl, err
		}
		t.consume(0)
	}
	if p == nil {
		return 0, ctrl, t.dropPayload()
	}
	n, err = t.receive(p[:min(uint64(len(p)), t.frameLeft)])
	t.unmask(p[:n])
	t.consume(n)
	return n, ctrl, err
}

// receive reads some bytes of the stream into p: what the buffer contains or, if it is empty,
// what the socket has. If p is small, the buffer is filled first. The read lock is held.
func (t *Conn) receive(p []byte) (int, error) {
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

// receiveDirectly reads from the socket into p. The buffer is empty.
func (t *Conn) receiveDirectly(p []byte) (int, error) {
	t.uncorkBeforeWaiting()
	t.putBuffer()
	n, err := t.readSocket(p)
	if n == 0 {
		return 0, t.readFailed(err)
	}
	return n, nil
}

// hasMore reports whether the next readPayload returns without waiting for the peer.
func (t *Conn) hasMore() bool {
	if !t.lockRead() {
		return false
	}
	defer t.unlockRead()
	p := t.buffer.bytes()
	switch {
	case t.frameLeft > 0:
		return len(p) > 0
	case !t.fragmented: // the message has ended
		return true
	case !wire.HasHeader(p):
		return false
	}
	h := wire.ParseHeader(p)
	return !h.IsControl() && h.Length > 0 && len(p) > h.Size
}

// dropPayload reads and drops some bytes of the current frame, of which some are left.
func (t *Conn) dropPayload() error {
	if err := t.peek(1); err != nil {
		return err
	}
	n := min(uint64(t.buffer.buffered()), t.frameLeft)
	t.buffer.r += int(n) //nolint:gosec // it is in memory
	t.consume(int(n))    //nolint:gosec // likewise
	return nil
}
