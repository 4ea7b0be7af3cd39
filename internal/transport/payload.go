package transport

import (
	"errors"
	"io"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// compressedPayload reads the current message as it is on the wire.
type compressedPayload Conn

func (c *compressedPayload) Read(p []byte) (int, error) { return (*Conn)(c).readPayload(p) }
func (c *compressedPayload) HasMore() bool              { return (*Conn)(c).hasMore() }

// readPayload reads some bytes of the current message as it is on the wire, or drops some
// where p is nil. At its end it returns io.EOF. Pings and pongs between its frames are
// handled, with no lock held.
func (t *Conn) readPayload(p []byte) (int, error) {
	for {
		if err := t.ReadFailure(); err != nil {
			return 0, err
		}
		n, met, err := t.readPayloadLocked(p)
		if met.messageType != 0 && err == nil {
			err = t.events.Control(met.messageType, met.data)
		}
		switch {
		case err == errEndOfMessage: //nolint:errorlint // bare, as it comes from there
			return 0, io.EOF
		case err != nil:
			return 0, t.readEnded(err)
		case met.messageType == 0:
			return n, nil
		}
	}
}

// errEndOfMessage is io.EOF, which a handler may return, too.
var errEndOfMessage = errors.New("websocket: end of message")

func (t *Conn) readPayloadLocked(p []byte) (n int, met control, err error) {
	if err := t.lockReadable(); err != nil {
		return 0, met, err
	}
	defer t.unlockRead()
	for t.gate == 0 {
		if !t.fragmented {
			return 0, met, errEndOfMessage
		}
		if err := t.peek(2); err != nil { // likewise
			return 0, met, err
		}
		if met, err = t.nextFragment(); err != nil || met.messageType != 0 {
			return 0, met, err
		}
		t.consumed(0)
	}
	if p == nil {
		return 0, met, t.drop()
	}
	n, err = t.receive(p[:min(uint64(len(p)), t.gate)])
	t.unmask(p[:n])
	t.consumed(n)
	return n, met, err
}

// receive reads some bytes to where they are wanted: what is in the buffer and, when
// that is empty, what the socket has. Few are read by way of the buffer.
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

func (t *Conn) receiveDirectly(p []byte) (int, error) {
	t.uncorkBeforeWaiting()
	t.giveBuffer()
	n, err := t.readSocket(p)
	if n == 0 {
		return 0, t.readFailed(err)
	}
	return n, nil
}

// hasMore reports whether the next read of the message returns without waiting for the peer.
func (t *Conn) hasMore() bool {
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

// drop reads some bytes of the payload away, which has some.
func (t *Conn) drop() error {
	if err := t.peek(1); err != nil {
		return err
	}
	n := min(uint64(t.buffer.buffered()), t.gate)
	t.buffer.r += int(n) //nolint:gosec // it is in memory
	t.consumed(int(n))   //nolint:gosec // likewise
	return nil
}
