package transport

import (
	"sync/atomic"
	"time"
)

// settings are what the application has set for one connection. They are made when the first one
// is set, or for a watch: most connections have those of their Config.
type settings struct {
	readLimit     atomic.Int64              // of a message, in bytes; zero or less: none
	closeTimeout  atomic.Int64              // nanoseconds; zero or less: a closing handshake does not wait
	writeDeadline atomic.Pointer[time.Time] // nil: WriteTimeout counts

	watch *watch // set by New; nil: there is no socket beneath, or a write on it can be resumed
}

// ensureSettings returns the settings, for one of them to be set.
func (t *Conn) ensureSettings() *settings {
	return t.settings.Get(func() *settings {
		s := new(settings)
		s.readLimit.Store(t.config.ReadLimit)
		s.closeTimeout.Store(int64(t.config.CloseTimeout))
		return s
	})
}

// SetReadLimit bounds the size of messages that are read from now on, in bytes after inflating.
// Zero or less means no limit. Any goroutine may call it.
func (t *Conn) SetReadLimit(limit int64) { t.ensureSettings().readLimit.Store(limit) }

// readLimit returns the bound of the size of a message. Zero or less means no limit.
func (t *Conn) readLimit() int64 {
	if s := t.settings.Made(); s != nil {
		return s.readLimit.Load()
	}
	return t.config.ReadLimit
}

// SetCloseTimeout bounds later closing handshakes. With zero or less, a closing handshake tries
// to write the close frame and does not wait for the answer. Any goroutine may call it.
func (t *Conn) SetCloseTimeout(d time.Duration) { t.ensureSettings().closeTimeout.Store(int64(d)) }

// CloseTimeout returns the bound of later closing handshakes.
func (t *Conn) CloseTimeout() time.Duration {
	if s := t.settings.Made(); s != nil {
		return time.Duration(s.closeTimeout.Load())
	}
	return t.config.CloseTimeout
}

// SetWriteDeadline bounds later writes of the caller's by d instead of Config.WriteTimeout. The
// zero time restores WriteTimeout. Any goroutine may call it.
func (t *Conn) SetWriteDeadline(d time.Time) {
	if d.IsZero() {
		if s := t.settings.Made(); s != nil {
			s.writeDeadline.Store(nil)
		}
		return
	}
	t.ensureSettings().writeDeadline.Store(&d)
}

// callersDeadline returns the deadline of SetWriteDeadline, nil if there is none.
func (t *Conn) callersDeadline() *time.Time {
	if s := t.settings.Made(); s != nil {
		return s.writeDeadline.Load()
	}
	return nil
}
