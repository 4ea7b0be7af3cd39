package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// reading is the part of a Conn that reads. The lock guards the fields up to err. It is held for
// one read, or while a closing handshake drops frames, and released before data or a control
// frame is handed to the caller.
type reading struct {
	lock        xsync.Lock
	buffer      *readBuffer
	lent        bufpool.Buffer // the loan: the last message of ReadMessage with lend
	frameLeft   uint64         // bytes of the current frame's payload that were not consumed yet
	messageSize uint64         // bytes of the current message on the wire, as its headers say
	maskKey     [4]byte        // the key for the next byte of the payload
	finalFrame  bool           // the current frame is the last of a message that is not counted yet
	fragmented  bool           // the current message has more frames
	deflated    bool           // the current message is compressed
	inParts     bool           // the reading goroutine reads a part of the message
	err         error          // why nothing more can be read from the socket

	current *messageReader        // the message that the reading goroutine reads piece by piece
	failed  atomic.Pointer[error] // the error of every later read of a message; nil: they still work

	socket     syscall.RawConn // the plain socket, nil for any other connection
	socketRead *socketRead     // nil before the first read, and while the connection is parked

	waiting atomic.Int64 // 1 + the age at which the read of the socket began; zero: no read waits

	deadlines xsync.Lazy[readDeadlines]
}

// ReadFailure returns the error of every later read of a message, nil while reads still work.
func (t *Conn) ReadFailure() error {
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// endReads ends all reads because one failed with err. It returns the error of that read and of
// every later one, which is err unless a handler failed. If err is the peer's close frame, it
// has the layer above answer it. No lock is held.
func (t *Conn) endReads(err error) error {
	if failed := t.ReadFailure(); failed != nil {
		return failed
	}
	ce := t.PeerCloseRead()
	if ce != nil && err == error(ce) && t.happens(eventPeerReported, nil) { //nolint:errorlint // the same error
		if handlerErr := t.events.PeerClosed(ce); handlerErr != nil {
			err = handlerErr
		}
	}
	if err == io.EOF { //nolint:errorlint // of a handler: a bare io.EOF would mean the end of a message
		err = &Error{Op: "read", Err: err}
	}
	if ended := endedContext(err); ended != nil {
		t.events.CancelContext(ended.error)
	}
	t.failed.Store(&err)
	return err
}

// endedContext returns the contextError that err is or wraps, nil if there is none.
func endedContext(err error) *contextError {
	if _, ok := err.(*ws.CloseError); ok { //nolint:errorlint // an unwrapped one: how most connections end
		return nil
	}
	var ended *contextError
	_ = errors.As(err, &ended)
	return ended
}

// unreadable returns why a read within ctx cannot begin: an earlier read failed, or ctx has
// ended.
func (t *Conn) unreadable(ctx context.Context) error {
	if err := t.ReadFailure(); err != nil {
		return err
	}
	if cause := t.endOfReads(ctx); cause != nil {
		return &Error{Op: "read", Err: cause}
	}
	return nil
}

// checkContext ends all reads if ctx has ended. It is called in the middle of a message, where
// a read that returns early leaves no way to go on.
func (t *Conn) checkContext(ctx context.Context) error {
	if cause := t.endOfReads(ctx); cause != nil {
		return t.endReads(&Error{Op: "read", Err: &contextError{cause}})
	}
	return nil
}

// lockReadable acquires the read lock and ends the loan. If nothing more can be read, it returns
// the error instead.
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

// EndLoan ends the loan of ReadMessage before the next read does. If a closing handshake reads, the
// loan stays. Only the reading goroutine may call it.
func (t *Conn) EndLoan() {
	if t.reading.lock.TryLock() {
		t.lent.Release()
		t.unlockRead()
	}
}

// lockRead acquires the read lock. It returns false if the socket is closed before it gets it.
func (t *Conn) lockRead() bool {
	return t.reading.lock.TryLock() || t.waitToRead()
}

func (t *Conn) waitToRead() bool {
	select {
	case <-t.reading.lock.Wait():
		return true
	case <-t.Closed():
		t.reading.lock.Cancel()
		return false
	}
}

func (t *Conn) unlockRead() { t.reading.lock.Unlock() }

// peek waits until the buffer contains n bytes. The read lock is held.
func (t *Conn) peek(n int) error {
	for t.buffer.buffered() < n {
		if t.reading.err != nil {
			return t.reading.err
		}
		t.uncorkBeforeWaiting()
		var m int
		var err error
		if t.socket != nil { // not by way of fill: the stack of each connection that waits has this frame
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

// fill reads from the socket into the buffer, which it makes large enough for n bytes. It returns
// the number of bytes read.
func (t *Conn) fill(n int) (int, error) {
	if t.socket != nil {
		return t.fillRaw(n)
	}
	return t.fillPlain(n)
}

// fillPlain reads into the buffer, which it makes large enough for n bytes. It returns the
// number of bytes read.
func (t *Conn) fillPlain(n int) (int, error) {
	b := t.getBuffer(n)
	return t.readSocket(b.b[b.w:])
}

// readSocket reads from the connection beneath, and waits for the peer.
func (t *Conn) readSocket(p []byte) (int, error) {
	t.beginWait()
	n, err := t.nc.Read(p)
	for n == 0 && err != nil && t.outlasts(err) {
		n, err = t.nc.Read(p)
	}
	t.endWait()
	t.counts.bytesReceived.Add(uint64(n))
	return n, err
}

// beginWait notes that a read waits for the peer from now on, if none does. It is called for each
// read of the socket.
func (t *Conn) beginWait() {
	if t.waiting.Load() == 0 {
		t.waiting.Store(1 + int64(t.Age()))
	}
}

// endWait notes that no read waits any more, unless the connection is about to be parked.
func (t *Conn) endWait() {
	if d := t.deadlines.Made(); d == nil || !d.parker.isQuiet {
		t.waiting.Store(0)
	}
}

// WaitingSince reports whether a read waits for the peer, and the age at which it began to wait. On a
// connection that is parked, a read waits.
func (t *Conn) WaitingSince() (since time.Duration, waiting bool) {
	w := t.waiting.Load()
	return time.Duration(w - 1), w != 0
}

// readFailed returns the error of a read of the socket that returned no byte and err. After a
// deadline that passed, or a context that ended, the closing handshake can still read. Every
// later read returns any other error again. The read lock is held.
func (t *Conn) readFailed(err error) error {
	t.putBuffer()
	switch {
	case t.reading.err != nil:
		return t.reading.err
	case t.isClosed():
		t.reading.err = t.endError()
	case isDeadline(err):
		return &Error{Op: "read", Err: t.readDeadlines().reason(err)}
	case t.isPanic(err):
		t.reading.err = t.Fail(&Error{Op: "read", Err: err})
	case errors.Is(err, net.ErrClosed): // the application closed it, or Abort closed what is beneath TLS
		t.reading.err = t.endError()
		_ = t.closeLocal()
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		// gorilla returns this error, and applications look for it. (io.ErrUnexpectedEOF is the
		// end of the stream within a TLS record.)
		t.reading.err = &ws.CloseError{Code: ws.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()}
		t.happens(eventReadEnd, t.reading.err)
	default:
		t.reading.err = &Error{Op: "read", Err: err, Gone: true}
		t.happens(eventReadEnd, t.reading.err)
	}
	t.dropBuffer()
	return t.reading.err
}
