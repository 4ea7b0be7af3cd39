package transport

import (
	"errors"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
)

const (
	// After a violation, this end reads what the peer still sends, for at most this time and
	// this number of bytes. Without that, closing the socket would reset the connection, which
	// could destroy our close frame on its way.
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// failProtocol ends the connection because the peer violated the protocol: it sends a close
// frame, gives the peer time to read it, closes the socket, and returns the violation. The read
// lock is held.
func (t *Conn) failProtocol(violation *wire.ProtocolError) error {
	seeker := closeSeeker{skip: t.frameLeft}
	found := seeker.look(t.buffer.bytes())
	t.dropBuffer()
	if t.inParts && t.deflating != nil && t.deflating.arrives != nil {
		t.deflating.arrives.Abandon() // it waits for this read, which may take a second
	}
	t.reading.err = violation
	t.happens(eventViolation, violation)
	wait := min(lingerTime, t.CloseTimeout())
	end := time.Now().Add(wait)
	defer t.abortAfter(max(wait, CloseGrace))()
	b := closeDeadline(wait)
	err := t.writeClose(&b, violation.CloseFrame())
	if wait > 0 && (err == nil || errors.Is(err, ws.ErrCloseSent)) {
		t.linger(&seeker, found, end)
	}
	t.Abort()
	return violation
}

// RefuseMessage fails the message that is being read. If err is a *wire.ProtocolError, the peer
// violated the protocol, and the connection ends with the close frame of that. It returns the
// error of every later read. Only the reading goroutine may call it, without the read lock.
func (t *Conn) RefuseMessage(err error) error {
	if t.ReadFailure() == nil && t.lockRead() {
		err = t.failIfViolation(err)
		t.unlockRead()
	}
	return t.endReads(err)
}

// failIfViolation calls failProtocol if err is a violation. The memory of the message must have
// been released, because failProtocol waits for the peer. The read lock is held.
func (t *Conn) failIfViolation(err error) error {
	if violation, ok := err.(*wire.ProtocolError); ok && t.reading.err == nil { //nolint:errorlint // it is never wrapped here
		return t.failProtocol(violation)
	}
	return err
}

// linger reads and drops what the peer still sends, until the peer closes its half of the
// stream. The caller bounds it; it expects to be aborted at end. found says that the peer's
// close frame was read.
//
// It closes our half of the stream as soon as the peer's close frame or end was read, or after
// half of the time. If it closed it right behind our close frame, browsers would report that
// the connection did not close cleanly.
func (t *Conn) linger(seeker *closeSeeker, found bool, end time.Time) {
	t.readDeadlines().take(t)
	half := time.Now().Add(time.Until(end) / 2)
	halfClosed := found || t.nc.SetReadDeadline(half) != nil // or was tried, where that is impossible
	if halfClosed && !t.halfClose() && found {
		return
	}
	var scrap [512]byte
	for left := lingerBytes; left > 0; {
		n, err := t.nc.Read(scrap[:])
		t.counts.bytesReceived.Add(uint64(n))
		left -= n
		found = seeker.look(scrap[:n])
		switch {
		case !halfClosed && (found || err != nil):
			halfClosed = true
			_ = t.nc.SetReadDeadline(time.Time{})
			if !t.halfClose() && found || err != nil && time.Now().Before(half) {
				return
			}
		case err != nil:
			return
		}
	}
}

// halfClose closes our half of the stream and reports whether that was possible.
func (t *Conn) halfClose() bool {
	half, ok := t.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// A closeSeeker looks for a close frame in a stream of frames that need not be valid.
type closeSeeker struct {
	skip    uint64 // number of bytes before the next header
	header  [wire.MaxHeaderSize]byte
	n       int  // number of bytes in header
	inClose bool // the bytes to skip are the payload of a close frame
}

// look takes the next bytes of the stream and reports whether a whole close frame was among
// them. It must not be called after it was.
func (s *closeSeeker) look(p []byte) (found bool) {
	for {
		n := min(s.skip, uint64(len(p)))
		s.skip -= n
		p = p[n:]
		switch {
		case s.skip > 0:
			return false
		case s.inClose:
			return true
		}
		for !wire.HasHeader(s.header[:s.n]) {
			if len(p) == 0 {
				return false
			}
			s.header[s.n] = p[0]
			s.n, p = s.n+1, p[1:]
		}
		h := wire.ParseHeader(s.header[:s.n])
		s.skip, s.n, s.inClose = h.Length, 0, h.Opcode == wire.OpClose
	}
}
