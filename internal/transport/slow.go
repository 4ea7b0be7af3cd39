package transport

import (
	"errors"
	"os"
	"time"
)

// looks is how often it is looked, within WriteTimeout, whether a peer that does not take
// what is written takes anything of what is under way. That is seen from outside of the
// write on a socket alone, where a write that timed out can go on: the kernel may have
// megabytes of earlier frames, and take nothing more before much of that has left.
const looks = 4

// LastProgress is the age at which the peer last took a part of a frame that did not leave at
// once.
func (t *Conn) LastProgress() time.Duration { return time.Duration(t.taken.Load()) }

func (t *Conn) tookSome() { t.taken.Store(int64(t.Age())) }

// firstLook is how long a write may wait until it is looked at: to its end, where nothing
// can be seen before.
func (t *Conn) firstLook(b *WriteDeadline) time.Duration {
	if t.coarse {
		return max(b.timeout/looks, 1)
	}
	return b.timeout
}

// renew gives the rest of a frame a new bound, as a part of it was taken. Its error is that
// of set, or that of a deadline where the context has ended meanwhile: what interrupts the
// write may have come before the new deadline.
func (t *Conn) renew(b *WriteDeadline) (err error) {
	switch {
	case !b.deadline.IsZero() || b.timeout <= 0:
		return nil
	case t.coarse || t.watch != nil:
		err = t.arm(b)
	default:
		err = t.extend(b.timeout)
	}
	if err != nil {
		return err
	}
	return interrupted(b)
}

// extend sets the deadline to what a write may take from now on.
func (t *Conn) extend(d time.Duration) error { return t.set(t.begun.Add(t.Age() + d)) }

func interrupted(b *WriteDeadline) error {
	if b.ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// isLook reports whether a write failed only because it is time to look.
func (t *Conn) isLook(b *WriteDeadline, err error) bool {
	return isDeadline(err) && t.coarse && b.deadline.IsZero() && b.timeout > 0 && interrupted(b) == nil && !t.isClosed()
}

// writeSlowly goes on with a write of which n bytes are written, as long as the peer takes
// something. At the first look, nothing is known of how it was before.
func (t *Conn) writeSlowly(b *WriteDeadline, p, behind []byte, n int, err error) (int, error) {
	progress := t.armed - t.firstLook(b) // when the write began, or a little before
	for before, known := t.unsent(); t.isLook(b, err); {
		left := min(progress+b.timeout-t.Age(), t.firstLook(b))
		if left <= 0 {
			break
		}
		if err := errors.Join(t.extend(left), interrupted(b)); err != nil {
			return n, err
		}
		var m int
		m, err = t.writeRest(p, behind, n)
		n += m
		after, ok := t.unsent()
		if m > 0 || known && ok && after < before {
			t.tookSome()
			progress = t.LastProgress()
		}
		before, known = after, ok
	}
	return n, err
}

// writeRest writes what is left of a piece.
func (t *Conn) writeRest(p, behind []byte, n int) (int, error) {
	switch {
	case n >= len(p):
		return t.nc.Write(behind[n-len(p):])
	case len(behind) == 0:
		return t.nc.Write(p[n:])
	default:
		return t.writeVector(p[n:], behind)
	}
}

// unsent is what the kernel has of what was written and the peer has not taken, in bytes;
// false where it does not say.
func (t *Conn) unsent() (n int, known bool) {
	switch {
	case t.socket != nil:
		return unsentOf(t.socket)
	case t.watch != nil:
		return unsentOf(t.watch.socket)
	default:
		return 0, false
	}
}

// backlog is from how many bytes on, unsent in the kernel, a ping is behind something else.
const backlog = 1 << 10

// NoteBacklog keeps how much the peer has taken, for takesBacklog.
func (t *Conn) NoteBacklog() {
	if n, known := t.unsent(); known {
		t.counts.backlogTaken.Store(uint32(t.counts.bytesSent.Load()) - uint32(n)) //nolint:gosec // modulo 2^32
	}
}

// TakesBacklog reports whether the kernel still has much to send, so that a ping has not
// come to the peer, but the peer has taken something of it since noteBacklog.
func (t *Conn) TakesBacklog() bool {
	n, known := t.unsent()
	if !known || n < backlog {
		return false
	}
	taken := uint32(t.counts.bytesSent.Load()) - uint32(n) //nolint:gosec // modulo 2^32
	if int32(taken-t.counts.backlogTaken.Load()) <= 0 {    //nolint:gosec // likewise
		return false
	}
	t.tookSome()
	return true
}
