package transport

import (
	"errors"
	"time"
)

// progressChecks is how often, within WriteTimeout, a write that waits is checked for progress.
// Only on a socket itself, where a write that timed out can be resumed, is progress of a part
// of the write seen; the kernel may have megabytes of earlier frames, and take nothing more
// before much of them was sent.
const progressChecks = 4

// LastProgress returns the age at which the peer last took a part of a frame that could not be
// written at once. Any goroutine may call it.
func (t *Conn) LastProgress() time.Duration { return time.Duration(t.progressAt.Load()) }

func (t *Conn) noteProgress() { t.progressAt.Store(int64(t.Age())) }

// firstCheck returns how long a write may wait until it is checked for progress: for its whole
// timeout if it could not be resumed.
func (t *Conn) firstCheck(b *WriteDeadline) time.Duration {
	if t.coarse {
		return max(b.timeout/progressChecks, 1)
	}
	return b.timeout
}

// isCheck reports whether a write failed only because it is time to check for progress.
func (t *Conn) isCheck(b *WriteDeadline, err error) bool {
	return isDeadline(err) && t.coarse && b.deadline.IsZero() && b.timeout > 0 && interrupted(b) == nil && !t.isClosed()
}

// writeSlowly resumes a write of which n bytes are written, for as long as the peer takes
// something of what the kernel has. The first check can't know what it has taken before.
func (t *Conn) writeSlowly(b *WriteDeadline, p, payload []byte, n int, err error) (int, error) {
	progress := t.armed - t.firstCheck(b) // when the write began, or a little before
	for before, known := t.unsent(); t.isCheck(b, err); {
		left := min(progress+b.timeout-t.Age(), t.firstCheck(b))
		if left <= 0 {
			break
		}
		if err := errors.Join(t.extend(left), interrupted(b)); err != nil {
			return n, err
		}
		var m int
		m, err = t.writeFrom(n, p, payload)
		n += m
		after, ok := t.unsent()
		if m > 0 || known && ok && after < before {
			t.noteProgress()
			progress = t.LastProgress()
		}
		before, known = after, ok
	}
	return n, err
}

// unsent returns how many bytes that were written to the socket are still in the kernel, because
// the peer has not acknowledged them. It reports whether that is known.
func (t *Conn) unsent() (n int, known bool) {
	switch {
	case t.socket != nil:
		return unsentOf(t.socket)
	case t.watch() != nil:
		return unsentOf(t.watch().socket)
	default:
		return 0, false
	}
}
