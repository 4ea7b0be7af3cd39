package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A network may have no deadlines, as the channels of SSH, or may fail to set one. Then a
// read or write that waits can't be interrupted: it ends only when the connection is
// closed. So what would interrupt it fails the transport, for the same reason, and a timer
// takes the place of a deadline for writes.

// An ioFlag is something that holds for the read or the write under way, or for later ones.
type ioFlag uint32

const (
	readByContext     ioFlag = 1 << iota // a context bounds the read; of the reading goroutine
	writeByContext                       // a context bounds the write; of the holder of frameLock
	writeUntimed                         // the connection has refused the deadline of the write; likewise
	writeStreamed                        // the message is written piece by piece; of the holder of messageLock
	writeUncompressed                    // nothing is compressed, though that was agreed on; of later writes
)

// ioFlags is a set of flags.
type ioFlags struct{ bits atomic.Uint32 }

func (f *ioFlags) has(flag ioFlag) bool { return ioFlag(f.bits.Load())&flag != 0 }

func (f *ioFlags) set(flag ioFlag) { f.bits.Or(uint32(flag)) }

// clear reports whether the flag was set.
func (f *ioFlags) clear(flag ioFlag) bool { return ioFlag(f.bits.And(^uint32(flag)))&flag != 0 }

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
