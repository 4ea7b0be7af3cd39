package websocket

import (
	"errors"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

const (
	// A peer that broke the protocol is read from for so long and so much after
	// our close frame, lest a reset of the socket destroys the frame on its way.
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// failProtocol ends the connection because the peer broke the protocol: a close
// frame, and the socket is closed as soon as the peer had it. The read lock is
// held.
func (t *transport) failProtocol(violation *wire.ProtocolError) error {
	seeker := closeSeeker{skip: t.gate}
	found := seeker.look(t.buffer.bytes())
	t.dropBuffer()
	t.reading.err = violation
	t.happens(eventViolation, violation)
	wait := min(lingerTime, time.Duration(t.closeTimeout.Load()))
	over := time.Now().Add(wait)
	defer t.abortAfter(max(wait, closeGrace))()
	frame := violation.CloseFrame()
	b := closeBound(wait)
	err := t.writeClose(&b, FormatCloseMessage(frame.Code, frame.Text))
	if wait > 0 && (err == nil || errors.Is(err, ErrCloseSent)) {
		t.linger(&seeker, found, over)
	}
	t.abort()
	return violation
}

// linger reads what the peer still sends until it ends. The caller sees to it that this
// is over in time. We end the stream ourselves when the peer's close frame has come, or
// its end, or half of the time is over: an end right behind our close frame has browsers
// say that the connection was not closed cleanly.
func (t *transport) linger(seeker *closeSeeker, found bool, over time.Time) {
	t.readDeadlines().take(t.nc)
	half := time.Now().Add(time.Until(over) / 2)
	ended := found || t.nc.SetReadDeadline(half) != nil
	if ended && !t.halfClose() && found {
		return
	}
	var scrap [512]byte
	for left := lingerBytes; left > 0; {
		n, err := t.nc.Read(scrap[:])
		t.counts.BytesReceived.Add(uint64(n))
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

// halfClose says that nothing more will come, where the connection can.
func (t *transport) halfClose() bool {
	half, ok := t.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// A closeSeeker looks for a close frame in a stream of frames, whatever is wrong with
// them.
type closeSeeker struct {
	skip   uint64 // bytes up to the next header
	header [wire.MaxHeaderSize]byte
	n      int  // bytes of it that have come
	last   bool // what is skipped is the payload of a close frame
}

// look reports whether there is a close frame, whole, in what has come with p.
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
