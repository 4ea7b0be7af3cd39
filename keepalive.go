package websocket

import (
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// forever is the longest duration in use: adding a few of them can't overflow.
const forever = time.Duration(1) << 60

// keepalive pings the peer, ends the connection if the peer is gone, and sends heartbeats. It
// uses one timer and has no goroutine of its own. Its times are since the connection began.
type keepalive struct {
	c     *Conn
	timer xsync.Timer

	mu       sync.Mutex
	nextPing time.Duration // when the next ping is due
	fireAt   time.Duration // what the timer is set to
	resumed  time.Duration // when the timer last fired much too late
	pinging  bool          // a ping is being written
}

// interval is the time between pings. Zero means no pings.
func (k *keepalive) interval() time.Duration { return k.c.options.pingInterval }

// pongTimeout bounds the wait for the answer to a ping. Zero means that none is expected.
func (k *keepalive) pongTimeout() time.Duration { return k.c.options.pongTimeout }

func (k *keepalive) start(c *Conn) {
	k.c = c
	now := c.t.Age()
	k.nextPing = forever // without pings
	if k.interval() > 0 {
		k.nextPing = now + k.interval()
	}
	k.fireAt = min(k.nextPing, c.heartbeatDue())
	if k.fireAt < forever {
		k.timer.Reset(k.fireAt-now, k)
	}
}

// Fire runs fire and turns a panic into a failure of the connection.
func (k *keepalive) Fire() { k.c.guard(k.fire) }

// fire runs when a ping or heartbeat is due, or when the peer would be gone if nothing has
// arrived. It sets the timer again before it writes, because a write may take a while.
func (k *keepalive) fire() {
	t := k.c.t
	if t.Unwritable() != nil {
		return // a closing handshake and the reads after a hang-up have bounds of their own
	}
	now := t.Age()
	goneAt, waiting := k.peerGoneAt(now)
	if waiting && now >= goneAt && t.TakesBacklog() {
		goneAt, waiting = k.peerGoneAt(now)
	}
	if waiting && now >= goneAt {
		_ = t.Fail(&transport.Error{Op: "read", Err: ErrPeerGone, Gone: true})
		return
	}
	ping, heartbeat := k.schedule(now, goneAt, waiting)
	if ping {
		lastSign := goneAt - k.interval() - k.pongTimeout()
		if now-lastSign <= k.interval() { // the first ping since then: its answer is due from now on
			t.NoteBacklog()
		}
		k.ping()
		k.mu.Lock()
		k.pinging = false
		k.mu.Unlock()
	}
	if heartbeat {
		k.c.sendHeartbeat()
	}
}

// peerGoneAt returns when the peer counts as gone if nothing arrives, and whether that is
// checked now: only while a read is waiting. The time is the interval plus the timeout, from
// the latest of:
//
//   - the start of the waiting read: a controller that does not read can't see pongs;
//   - the last progress of a large write: no ping fits inside a frame;
//   - the moment at which this process went on after it was suspended: what arrived in the
//     meantime is still unread.
func (k *keepalive) peerGoneAt(now time.Duration) (at time.Duration, waiting bool) {
	since, waiting := k.c.t.WaitingSince()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now-k.fireAt > k.pongTimeout()/2 {
		k.resumed = now
	}
	lastSign := max(since, k.c.t.LastProgress(), k.resumed)
	return lastSign + k.interval() + k.pongTimeout(), waiting && k.interval() > 0 && k.pongTimeout() > 0
}

// schedule sets the timer to what is due next, and reports what to send now.
func (k *keepalive) schedule(now, goneAt time.Duration, waiting bool) (ping, heartbeat bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now >= k.nextPing {
		k.nextPing = now + k.interval()
		ping = !k.pinging // otherwise the last one is still being written
		k.pinging = true
	}
	k.fireAt = k.nextPing
	if waiting {
		k.fireAt = min(k.fireAt, goneAt)
	}
	due := k.c.heartbeatDue()
	if heartbeat = now >= due; heartbeat {
		due = now + k.c.options.heartbeatInterval
	}
	k.fireAt = min(k.fireAt, due)
	k.timer.Reset(k.fireAt-now, k)
	return ping, heartbeat
}

// ping writes a ping. It waits for a frame that is being written, but no longer than for an
// answer.
func (k *keepalive) ping() {
	wait := k.c.options.writeTimeout
	if pong := k.pongTimeout(); pong > 0 && (wait == 0 || wait > pong) {
		wait = pong
	}
	// The error needs no handling: a failed write ends the connection, and if the frame before
	// the ping takes too long, its writer notices.
	_ = k.c.t.WriteSoon(wire.OpPing, k.c.pings.next(), wait)
}

// heartbeatDue returns when a heartbeat is due if nothing is sent until then.
func (c *Conn) heartbeatDue() time.Duration { return c.t.LastSent() + c.options.heartbeatInterval }

// sendHeartbeat writes the heartbeat, unless another message is being written: that message
// is a sign of life itself once it is complete. If it never is, the next call checks again.
func (c *Conn) sendHeartbeat() {
	// The error needs no handling: a failed write ends the connection.
	_ = c.t.WriteIfQuiet(c.options.heartbeatInterval, TextMessage, c.options.heartbeat)
}
