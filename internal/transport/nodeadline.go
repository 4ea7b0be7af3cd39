package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// A network may have no deadlines, as the channels of SSH, or may fail to set one. Then a
// read or write that waits can't be interrupted: it ends only when the connection is
// closed. So what would interrupt it fails the transport, for the same reason, and a timer
// takes the place of a deadline for writes.

// reaches reports whether a call that set a deadline and returned err has reached the read
// or write that waits. On a connection that is closed nothing waits.
func reaches(err error) bool {
	return err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

// FailUnreached ends the connection if a call that waits was not reached, as err says. cause
// is what the call was to be interrupted for.
func (t *Conn) FailUnreached(op string, cause, err error) {
	if reaches(err) {
		return
	}
	if t.isPanic(err) {
		cause = err
	}
	_ = t.Fail(&Error{Op: op, Err: cause})
}

// writeUndated is writePiece on a connection that has refused the deadline of the write.
func (t *Conn) writeUndated(b *WriteDeadline, p, behind []byte) (int, error) {
	left := b.timeout
	if !b.deadline.IsZero() {
		left = time.Until(b.deadline)
	}
	gone := !b.fromCaller
	timer := time.AfterFunc(left, func() {
		t.events.Guard(func() { _ = t.Fail(&Error{Op: "write", Err: os.ErrDeadlineExceeded, Gone: gone}) })
	})
	defer timer.Stop()
	return t.writeRest(p, behind, 0)
}

// boundSwitching sets the deadline of the 101, or a timer in its place; zero takes it back.
func (t *Conn) boundSwitching(at time.Time) error {
	err := t.nc.SetWriteDeadline(at)
	switch {
	case at.IsZero():
		t.cancelExpiry()
	case !reaches(err) && !t.isPanic(err):
		t.expireAfter(time.Until(at))
		return nil
	}
	return err
}
