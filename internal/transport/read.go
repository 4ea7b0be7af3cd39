package transport

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// reading is what the transport needs to read. All but the deadlines is guarded
// by the lock, which is held for one Read or one drain: it is free while the
// caller handles what it read.
type reading struct {
	lock       xsync.Lock
	buffer     *readBuffer
	lent       bufpool.Buffer // what ReadSlice returned last
	gate       uint64         // bytes of the current frame's payload not handed on yet
	length     uint64         // bytes of the current message on the wire
	key        [4]byte        // the mask of the next byte of the payload
	last       bool           // the current frame is the last one of its message, which is not counted yet
	fragmented bool           // the message has more frames
	deflated   bool           // and is compressed
	err        error          // nothing more can be read from the socket
	limit      atomic.Int64   // bytes of a message; 0 or less: none

	current *messageReader        // the message that is read as it comes, or was; the reading goroutine's
	failed  atomic.Pointer[error] // what every read of a message returns from now on

	// socket, where it is not nil, reads with tryRead, which leaves the result in the buffer.
	socket  syscall.RawConn
	tryRead func(fd uintptr) bool

	waiting atomic.Int64 // 1 + the age at which the read of the socket began; 0: none

	deadlines atomic.Pointer[readDeadlines] // nil without any
}

// A control is a ping or pong. The zero value is none.
type control struct {
	messageType int
	data        string
}

// ReadFailure is what every read of a message returns from now on, nil if they still read.
func (t *Conn) ReadFailure() error {
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// readEnded is what a read returns that got the error, and what every later one
// will. The peer's close frame is answered, with no lock held.
func (t *Conn) readEnded(err error) error {
	if failed := t.ReadFailure(); failed != nil {
		return failed
	}
	ce := t.PeerCloseRead()
	if ce != nil && err == error(ce) && t.happens(eventPeerReported, nil) { //nolint:errorlint // the same error
		if handlerErr := t.events.PeerClosed(ce); handlerErr != nil {
			err = handlerErr
		}
	}
	if err == io.EOF { //nolint:errorlint // a handler's: bare, it would look like the end of a message
		err = &Error{Op: "read", Err: err}
	}
	var ended *contextError
	if errors.As(err, &ended) {
		t.events.CancelContext(ended.error)
	}
	t.failed.Store(&err)
	return err
}

// lockReadable takes the read lock, and ends the loan, unless nothing more can be read.
func (t *Conn) lockReadable() error {
	if !t.lockRead() {
		if ce := t.PeerCloseRead(); ce != nil {
			return ce
		}
		return t.endError()
	}
	if t.reading.err == nil && t.isClosed() {
		t.reading.err = t.endError()
	}
	if err := t.reading.err; err != nil {
		t.unlockRead()
		return err
	}
	t.lent.Release()
	return nil
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

func (t *Conn) lockRead() bool {
	return t.reading.lock.TryLock() || t.waitToRead()
}

func (t *Conn) waitToRead() bool {
	select {
	case <-t.reading.lock.Wait():
		return true
	case <-t.closed.Done():
		t.reading.lock.Cancel()
		return false
	}
}

func (t *Conn) unlockRead() { t.reading.lock.Unlock() }

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

// peek waits until n bytes are in the buffer.
func (t *Conn) peek(n int) (err error) {
	for t.buffer.buffered() < n {
		if t.reading.err != nil {
			return t.reading.err
		}
		t.uncorkBeforeWaiting()
		m := 0
		if t.socket != nil {
			m, err = t.fillRaw(n)
		} else {
			m, err = t.fillPlain(n)
		}
		if m == 0 {
			return t.readFailed(err)
		}
		t.buffer.w += m
	}
	return nil
}

// fillPlain reads into the buffer, which has room for n bytes then.
func (t *Conn) fillPlain(n int) (int, error) {
	b := t.takeBuffer(n)
	return t.readSocket(b.b[b.w:])
}

// readSocket is where a read waits for the peer.
func (t *Conn) readSocket(p []byte) (int, error) {
	t.waiting.Store(1 + int64(t.Age()))
	n, err := t.nc.Read(p)
	t.waiting.Store(0)
	t.counts.bytesReceived.Add(uint64(n))
	return n, err
}

// WaitingSince is the age at which the read that waits began to.
func (t *Conn) WaitingSince() (since time.Duration, waiting bool) {
	w := t.waiting.Load()
	return time.Duration(w - 1), w != 0
}

// readFailed tells what became of a read of the socket that got nothing. A
// deadline or a context that ended leaves the transport as it is: the peer's
// close frame can still be waited for.
func (t *Conn) readFailed(err error) error {
	t.giveBuffer()
	switch {
	case t.reading.err != nil:
		return t.reading.err
	case t.isClosed():
		t.reading.err = t.endError()
	case isDeadline(err):
		return &Error{Op: "read", Err: t.readDeadlines().reason(err)}
	case t.isPanic(err):
		t.reading.err = t.Fail(&Error{Op: "read", Err: err})
	case errors.Is(err, net.ErrClosed): // by way of NetConn, or beneath TLS by abort
		t.reading.err = t.endError()
		_ = t.closeLocal()
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the last in the middle of a TLS record
		// What gorilla makes of it, and applications look for.
		t.reading.err = &ws.CloseError{Code: ws.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()}
		t.happens(eventReadEnd, t.reading.err)
	default:
		t.reading.err = &Error{Op: "read", Err: err, Gone: true}
		t.happens(eventReadEnd, t.reading.err)
	}
	t.dropBuffer()
	return t.reading.err
}

// awaitPeerClose waits until somebody has read the peer's close frame or the
// socket is closed, which the caller makes sure of. Where nobody is reading, it
// reads frames away itself and keeps nothing.
func (t *Conn) awaitPeerClose() {
	if t.has(factPeerClosed) {
		return
	}
	select {
	case <-t.peerClosed.Done():
		t.reading.lock.Cancel()
		return
	case <-t.closed.Done():
		t.reading.lock.Cancel()
		return
	case <-t.reading.lock.Wait():
	}
	defer t.unlockRead()
	if t.lent.NotPooled { // and still the caller's
		t.detachBuffer()
	}
	t.readDeadlines().take(t.nc)
	if t.dropFrames() && t.HungUp() {
		t.reading.err = t.endError() // who reads on must not take the close frame for all there was
	}
}

// dropFrames reads frames away up to the end, and reports whether a message was among
// them, or a part of one. The read lock is held.
func (t *Conn) dropFrames() (dropped bool) {
	dropped = t.gate > 0
	for {
		for t.gate > 0 {
			if t.drop() != nil {
				return dropped
			}
		}
		h, err := t.nextFrame()
		if err != nil {
			return dropped
		}
		dropped = dropped || !h.IsControl()
		t.beginFrame(h)
		t.consumed(0)
	}
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
