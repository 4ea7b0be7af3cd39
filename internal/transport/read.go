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

// unreadable returns the error of the read that failed before, or that of a
// context that has ended already.
func (t *Conn) unreadable(ctx context.Context) error {
	if err := t.ReadFailure(); err != nil {
		return err
	}
	if cause := t.endOfReads(ctx); cause != nil {
		return &Error{Op: "read", Err: cause}
	}
	return nil
}

// endRead ends all reads if the context has ended that bounds this one, in the middle of a
// message: there is no way back.
func (t *Conn) endRead(ctx context.Context) error {
	if cause := t.endOfReads(ctx); cause != nil {
		return t.readEnded(&Error{Op: "read", Err: &contextError{cause}})
	}
	return nil
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
