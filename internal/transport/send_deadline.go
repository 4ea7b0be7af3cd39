package transport

import (
	"os"
	"time"
)

const (
	// coarseness is the fraction of WriteTimeout by which a deadline that is left on the socket
	// may be too early, and still serve the next write. To set one for each write would cost more
	// than all else that is done about the write.
	coarseness = 16

	// unknownDeadline stands for a deadline on the socket that serves no write.
	unknownDeadline = -time.Duration(1) << 60
)

// arm sets the deadline of the socket for a write. It returns the error of setDeadline.
func (t *Conn) arm(b *WriteDeadline) error {
	at := b.deadline
	if at.IsZero() && b.timeout > 0 {
		d := t.firstCheck(b)
		if left := t.armed - t.Age(); left <= d && left >= d-b.timeout/coarseness {
			return nil
		}
		if w := t.watch(); w != nil {
			return w.begin(b)
		}
		return t.extend(d)
	}
	if !at.IsZero() || t.armed != 0 {
		return t.setDeadline(at)
	}
	return nil
}

// disarm takes the deadline back after a write, unless it may be left on the socket.
func (t *Conn) disarm() error {
	if t.coarse {
		return nil
	}
	if w := t.watch(); w != nil {
		return w.end()
	}
	return t.setDeadline(time.Time{})
}

// renew gives the rest of a frame a new timeout, because a part of it was taken. It returns the
// error of setDeadline, or os.ErrDeadlineExceeded if the context has ended: boundWrite may have
// interrupted the write before the new deadline was set.
func (t *Conn) renew(b *WriteDeadline) (err error) {
	switch {
	case !b.deadline.IsZero() || b.timeout <= 0:
		return nil
	case t.coarse || t.watch() != nil:
		err = t.arm(b)
	default:
		err = t.extend(b.timeout)
	}
	if err != nil {
		return err
	}
	return interrupted(b)
}

// extend sets the deadline of the socket to d from now.
func (t *Conn) extend(d time.Duration) error { return t.setDeadline(time.Now().Add(d)) }

// interrupted returns the error of a write whose context has ended.
func interrupted(b *WriteDeadline) error {
	if b.ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// setDeadline sets the write deadline of the socket. It returns an error only if the
// net.Conn panicked. If the net.Conn beneath refuses a deadline, writeWithoutDeadline keeps it.
func (t *Conn) setDeadline(at time.Time) error {
	t.armed = 0
	if !at.IsZero() {
		t.armed = t.ageAt(at)
	}
	err := t.nc.SetWriteDeadline(at)
	if t.isPanic(err) {
		return err
	}
	if !at.IsZero() && !reaches(err) {
		t.flags.set(writeUntimed)
	} else if t.flags.has(writeUntimed) {
		t.flags.clear(writeUntimed)
	}
	return nil
}
