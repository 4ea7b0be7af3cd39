package websocket

import (
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// forever is the longest time that is reckoned with.
const forever = time.Duration(1) << 60

// keepalive pings the peer, notices when it is gone and sends heartbeats, by one timer
// and without a goroutine of its own. Times are those since the connection began.
type keepalive struct {
	c     *Conn
	timer xsync.Timer

	mu      sync.Mutex
	next    time.Duration // when a ping is due
	at      time.Duration // when the timer is to fire
	resumed time.Duration // when it last fired much later
	pinging bool
}

// interval is the time between pings; 0: there are none.
func (k *keepalive) interval() time.Duration { return k.c.options.pingInterval }

// pongTimeout is how long an answer may take; 0: none is expected.
func (k *keepalive) pongTimeout() time.Duration { return k.c.options.pongTimeout }

func (k *keepalive) start(c *Conn) {
	k.c = c
	now := c.t.Age()
	k.next = forever // without pings
	if k.interval() > 0 {
		k.next = now + k.interval()
	}
	k.at = min(k.next, c.beatAt())
	if k.at < forever {
		k.timer.Reset(k.at-now, k)
	}
}

// Fire is called when a ping or a heartbeat is due, or when the peer would be gone.
func (k *keepalive) Fire() { k.c.guard(k.fire) }

// fire is called when a ping or a heartbeat is due, or when the peer would be gone if
// nothing has come. Both are written last: they may take a while, and the next call
// comes all the same.
func (k *keepalive) fire() {
	t := k.c.t
	if t.Unwritable() != nil {
		return // the closing handshake has a bound of its own, and so has what follows a hang-up
	}
	now := t.Age()
	due, waiting := k.due(now)
	if waiting && now >= due && t.TakesBacklog() {
		due, waiting = k.due(now)
	}
	if waiting && now >= due {
		_ = t.Fail(&transport.Error{Op: "read", Err: ErrPeerGone, Gone: true})
		return
	}
	ping, beat := k.again(now, due, waiting)
	if ping {
		if life := due - k.interval() - k.pongTimeout(); now-life <= k.interval() {
			t.NoteBacklog() // from now on, an answer is due
		}
		k.ping()
		k.mu.Lock()
		k.pinging = false
		k.mu.Unlock()
	}
	if beat {
		k.c.beat()
	}
}

// due is when the peer is gone if nothing comes until then. What counts is for
// how long the transport has been waiting, so that a controller that does not
// read is told nothing wrong about its peer; that the peer takes a large frame,
// within which there is no place for a ping; and that a process which stood still
// has not read what came meanwhile.
func (k *keepalive) due(now time.Duration) (at time.Duration, waiting bool) {
	since, waiting := k.c.t.WaitingSince()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now-k.at > k.pongTimeout()/2 {
		k.resumed = now
	}
	life := max(since, k.c.t.LastProgress(), k.resumed)
	return life + k.interval() + k.pongTimeout(), waiting && k.interval() > 0 && k.pongTimeout() > 0
}

// again sets the timer for what comes next and reports what to send now.
func (k *keepalive) again(now, due time.Duration, waiting bool) (ping, beat bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now >= k.next {
		k.next = now + k.interval()
		ping = !k.pinging // the last one may still be on its way out
		k.pinging = true
	}
	k.at = k.next
	if waiting {
		k.at = min(k.at, due)
	}
	next := k.c.beatAt()
	if beat = now >= next; beat {
		next = now + k.c.options.heartbeatInterval
	}
	k.at = min(k.at, next)
	k.timer.Reset(k.at-now, k)
	return ping, beat
}

// ping writes a ping. A frame under way is waited for no longer than an answer
// would be.
func (k *keepalive) ping() {
	wait := k.c.options.writeTimeout
	if pong := k.pongTimeout(); pong > 0 && (wait == 0 || wait > pong) {
		wait = pong
	}
	// A failure is the connection's. Whoever is writing finds out what is wrong.
	_ = k.c.t.WriteSoon(wire.OpPing, k.c.pings.next(), wait)
}

// beatAt is the age at which a heartbeat is due if nothing is sent until then.
func (c *Conn) beatAt() time.Duration { return c.t.LastSent() + c.options.heartbeatInterval }

// beat sends the heartbeat, unless something else is on its way: when a message that is
// being written is complete, that is a sign of life itself. If it never is, the next
// call looks again.
func (c *Conn) beat() {
	_ = c.t.WriteIfQuiet(c.options.heartbeatInterval, TextMessage, c.options.heartbeat) // a failure is the connection's
}
