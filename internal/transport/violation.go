package transport

import (
	"errors"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
)

const (
	// After a protocol violation, what the peer still sends is read for so long, and up to so
	// many bytes. Otherwise a reset of the socket could destroy our close frame on its way.
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// failProtocol ends the connection because of a protocol violation: it sends a close frame,
// gives the peer time to read it, and closes the socket. The read lock is held.
func (t *Conn) failProtocol(violation *wire.ProtocolError) error {
	seeker := closeSeeker{skip: t.gate}
	found := seeker.look(t.buffer.bytes())
	t.dropBuffer()
	t.reading.err = violation
	t.happens(eventViolation, violation)
	wait := min(lingerTime, t.CloseTimeout())
	over := time.Now().Add(wait)
	defer t.abortAfter(max(wait, CloseGrace))()
	frame := violation.CloseFrame()
	b := closeDeadline(wait)
	err := t.writeClose(&b, ws.FormatCloseMessage(frame.Code, frame.Text))
	if wait > 0 && (err == nil || errors.Is(err, ws.ErrCloseSent)) {
		t.linger(&seeker, found, over)
	}
	t.Abort()
	return violation
}

// RefuseMessage ends the connection where a message broke the protocol, and is what every
// later read returns. The read lock is not held.
func (t *Conn) RefuseMessage(err error) error {
	if t.ReadFailure() == nil && t.lockRead() {
		err = t.judged(err)
		t.unlockRead()
	}
	return t.readEnded(err)
}

// judged ends the connection where what was read of a message broke the protocol. Its
// memory is given back by then: the peer is waited for.
func (t *Conn) judged(err error) error {
	if violation, ok := err.(*wire.ProtocolError); ok && t.reading.err == nil { //nolint:errorlint // bare, as it comes from here
		return t.failProtocol(violation)
	}
	return err
}

// linger reads and drops what the peer still sends, up to its end. The caller bounds it. Our
// half of the stream is closed when the peer's close frame or end has come, or half of the
// time has passed: if it were closed right behind our close frame, browsers would report a
// close that was not clean.
func (t *Conn) linger(seeker *closeSeeker, found bool, over time.Time) {
	t.readDeadlines().take(t.nc)
	half := time.Now().Add(time.Until(over) / 2)
	ended := found || t.nc.SetReadDeadline(half) != nil
	if ended && !t.halfClose() && found {
		return
	}
	var scrap [512]byte
	for left := lingerBytes; left > 0; {
		n, err := t.nc.Read(scrap[:])
		t.counts.bytesReceived.Add(uint64(n))
		left -= n
		found = seeker.look(scrap[:n])
		switch {
		case !ended && (found || err != nil):
			ended = true
			_ = t.nc.SetReadDeadline(time.Time{})
			if !t.halfClose() && found || err != nil && time.Now().Before(half) {
				return
			}
		case err != nil:
			return
		}
	}
}

// halfClose closes our half of the stream, and reports whether the connection can do that.
func (t *Conn) halfClose() bool {
	half, ok := t.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// A closeSeeker looks for a close frame in a stream of frames that need not be valid.
type closeSeeker struct {
	skip   uint64 // bytes up to the next header
	header [wire.MaxHeaderSize]byte
	n      int  // bytes of header that have come
	last   bool // what is skipped is the payload of a close frame
}

// look takes the next bytes of the stream, and reports whether a whole close frame has come.
func (s *closeSeeker) look(p []byte) (found bool) {
	for {
		n := min(s.skip, uint64(len(p)))
		s.skip -= n
		p = p[n:]
		switch {
		case s.skip > 0:
			return false
		case s.last:
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
		s.skip, s.n, s.last = h.Length, 0, h.Opcode == wire.OpClose
	}
}
