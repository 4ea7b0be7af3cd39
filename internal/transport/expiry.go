package transport

import (
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// An expiry aborts a connection that is about to end and does not end in time.
type expiry struct {
	t     *Conn
	timer xsync.Timer
}

// Fire aborts the connection. If the peer hung up, Fire looks for its close frame first.
func (e *expiry) Fire() {
	e.t.events.Guard(func() {
		defer e.t.Abort()
		e.t.FindPeerClose(CloseGrace)
	})
}

// abortAfter aborts the connection after d, unless stop is called before. It bounds what the
// caller does next.
func (t *Conn) abortAfter(d time.Duration) (stop func() bool) {
	return time.AfterFunc(d, func() { t.events.Guard(t.Abort) }).Stop
}

// expire aborts the connection after the close timeout, unless the socket is closed before. It
// is for a close frame that the application wrote itself, where no closing handshake bounds the
// wait for the answer.
func (t *Conn) expire() { t.expireAfter(max(t.CloseTimeout(), 0)) }

// expireAfter aborts the connection after d. Only the first call has an effect.
func (t *Conn) expireAfter(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry == nil && !t.isClosed() {
		t.expiry = &expiry{t: t}
		t.expiry.timer.Reset(d, t.expiry)
	}
}

// cancelExpiry undoes expireAfter.
func (t *Conn) cancelExpiry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry != nil {
		t.expiry.timer.Cancel()
		t.expiry = nil
	}
}
