package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// A network may have no deadlines, like a channel of SSH, or may fail to set one. A read or
// write that waits cannot be interrupted there: it returns only when the connection is closed.
// So whatever would interrupt it ends the connection instead, with the same error, and a timer
// takes the place of a write deadline.

// reaches reports whether a call that set a deadline has an effect on a read or write that
// waits. err is the error of that call. On a closed connection nothing waits.
func reaches(err error) bool {
	return err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

// FailUnreached ends the connection if a call that waits could not be interrupted. op is the
// call, "read" or "write"; cause is why it was to be interrupted; err is the error of setting
// the deadline. If that reached the call, FailUnreached does nothing.
func (t *Conn) FailUnreached(op string, cause, err error) {
	if reaches(err) {
		return
	}
	if t.isPanic(err) {
		cause = err
	}
	_ = t.Fail(&Error{Op: op, Err: cause})
}

// writeWithoutDeadline is writePiece where the network did not set the deadline: a timer ends
// the connection instead.
func (t *Conn) writeWithoutDeadline(b *WriteDeadline, p, behind []byte) (int, error) {
	left := b.timeout
	if !b.deadline.IsZero() {
		left = time.Until(b.deadline)
	}
	gone := !b.fromCaller
	timer := time.AfterFunc(left, func() {
		t.events.Guard(func() { _ = t.Fail(&Error{Op: "write", Err: os.ErrDeadlineExceeded, Gone: gone}) })
	})
	defer timer.Stop()
	return t.writeFrom(0, p, behind)
}

// boundResponse bounds the write of the 101, by a deadline or by a timer in its place. A zero
// time takes the bound away.
func (t *Conn) boundResponse(at time.Time) {
	err := t.nc.SetWriteDeadline(at)
	switch {
	case at.IsZero():
		t.cancelExpiry()
	case !reaches(err) && !t.isPanic(err): // the end of the connection reports a panic
		t.expireAfter(time.Until(at))
	}
}
