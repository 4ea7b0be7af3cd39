package transport

import (
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// An expiry aborts the socket of a connection that has not ended in time.
type expiry struct {
	t     *Conn
	timer xsync.Timer
}

// Fire aborts the socket. If the peer hung up, its close frame is looked for first.
func (e *expiry) Fire() {
	e.t.events.Guard(func() {
		defer e.t.Abort()
		e.t.FindPeerClose(CloseGrace)
	})
}

// abortAfter aborts the socket after d, unless stop is called before. It bounds what the
// caller does next.
func (t *Conn) abortAfter(d time.Duration) (stop func() bool) {
	return time.AfterFunc(d, func() { t.events.Guard(t.Abort) }).Stop
}

// expire aborts the socket after the close timeout, unless it is closed before. It is for a
// close frame that was written without Close, so that no closing handshake bounds the wait
// for the answer.
func (t *Conn) expire() { t.expireAfter(max(t.CloseTimeout(), 0)) }

func (t *Conn) expireAfter(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry == nil && !t.isClosed() {
		t.expiry = &expiry{t: t}
		t.expiry.timer.Reset(d, t.expiry)
	}
}

// cancelExpiry takes back what expireAfter did.
func (t *Conn) cancelExpiry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expiry != nil {
		t.expiry.timer.Cancel()
		t.expiry = nil
	}
}
