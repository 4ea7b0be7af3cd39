package websocket

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// keepalive pings the peer, ends the connection if the peer is gone, and sends heartbeats. It
// uses one alarm and has no goroutine of its own. Its times are since the connection began.
type keepalive struct {
	alarm xsync.Alarm

	mu       sync.Mutex
	nextPing time.Duration // when the next ping is due
	fireAt   time.Duration // what the alarm is set to
	resumed  time.Duration // when the alarm last went off much too late
	pinging  bool          // a ping is being written
}

// alarmShards is how many mutexes the alarms of an Endpoint's connections share.
const alarmShards = 16

// newAlarms returns the alarms of connections, in the given number of shards.
func newAlarms(shards int) *xsync.Alarms[Conn] {
	return xsync.NewAlarms(shards, func(c *Conn) *xsync.Alarm { return &c.keepalive.alarm }, (*Conn).keepAlive)
}

// alone returns the options of a connection. One in memory gets alarms of its own: such connections
// are made in bubbles of testing/synctest, and two bubbles must not share a timer.
func (o *connOptions) alone(t *transport.Conn) *connOptions {
	if t.HasSocket() {
		return o
	}
	own := *o
	own.alarms = newAlarms(1)
	return &own
}

// startKeepAlive begins the keep-alive of a connection that is open.
func (c *Conn) startKeepAlive() {
	k := &c.keepalive
	now := c.t.Age()
	k.nextPing = forever // without pings
	if c.options.pingInterval > 0 {
		k.nextPing = now + c.options.pingInterval
	}
	k.fireAt = min(k.nextPing, c.heartbeatDue())
	if k.fireAt < forever {
		c.options.alarms.Reset(c, k.fireAt-now)
	}
}

// keepAlive does what is due and turns a panic into a failure of the connection.
func (c *Conn) keepAlive() { c.guard(c.doKeepAlive) }

// doKeepAlive runs when a ping or heartbeat is due, or when the peer would be gone if nothing has
// arrived. It sets the alarm again before it writes, because a write may take a while.
func (c *Conn) doKeepAlive() {
	t, k := c.t, &c.keepalive
	if t.Unwritable() != nil {
		return // a closing handshake and the reads after a hang-up have bounds of their own
	}
	now := t.Age()
	goneAt, waiting := c.peerGoneAt(now)
	if waiting && now >= goneAt && t.TakesBacklog() {
		goneAt, waiting = c.peerGoneAt(now)
	}
	if waiting && now >= goneAt {
		_ = t.Fail(&transport.Error{Op: "read", Err: ErrPeerGone, Gone: true})
		return
	}
	ping, heartbeat := c.scheduleKeepAlive(now, goneAt, waiting)
	if ping {
		lastSign := goneAt - c.options.pingInterval - c.options.pongTimeout
		if now-lastSign <= c.options.pingInterval { // the first ping since then: its answer is due from now on
			t.NoteBacklog()
		}
		c.keepAlivePing()
		k.mu.Lock()
		k.pinging = false
		k.mu.Unlock()
	}
	if heartbeat {
		c.sendHeartbeat()
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
func (c *Conn) peerGoneAt(now time.Duration) (at time.Duration, waiting bool) {
	k := &c.keepalive
	since, waiting := c.t.WaitingSince()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now-k.fireAt > c.options.pongTimeout/2 {
		k.resumed = now
	}
	lastSign := max(since, c.t.LastProgress(), k.resumed)
	return lastSign + c.options.pingInterval + c.options.pongTimeout, waiting && c.options.pingInterval > 0 && c.options.pongTimeout > 0
}

// scheduleKeepAlive sets the alarm to what is due next, and reports what to send now.
func (c *Conn) scheduleKeepAlive(now, goneAt time.Duration, waiting bool) (ping, heartbeat bool) {
	k := &c.keepalive
	k.mu.Lock()
	defer k.mu.Unlock()
	if now >= k.nextPing {
		k.nextPing = now + c.options.pingInterval
		ping = !k.pinging // otherwise the last one is still being written
		k.pinging = true
	}
	k.fireAt = k.nextPing
	if waiting {
		k.fireAt = min(k.fireAt, goneAt)
	}
	due := c.heartbeatDue()
	if heartbeat = now >= due; heartbeat {
		due = now + c.options.heartbeatInterval
	}
	k.fireAt = min(k.fireAt, due)
	c.options.alarms.Reset(c, k.fireAt-now)
	return ping, heartbeat
}

// keepAlivePing writes a ping. It waits for a frame that is being written, but no longer than for an
// answer.
func (c *Conn) keepAlivePing() {
	wait := c.options.writeTimeout
	if pong := c.options.pongTimeout; pong > 0 && (wait == 0 || wait > pong) {
		wait = pong
	}
	// The error needs no handling: a failed write ends the connection, and if the frame before
	// the ping takes too long, its writer notices.
	_ = c.t.WriteSoon(wire.OpPing, c.pings.next(), wait)
}

// heartbeatDue returns when a heartbeat is due if nothing is sent until then.
func (c *Conn) heartbeatDue() time.Duration { return c.t.LastSent() + c.options.heartbeatInterval }

// sendHeartbeat writes the heartbeat, unless another message is being written: that message
// is a sign of life itself once it is complete. If it never is, the next call checks again.
func (c *Conn) sendHeartbeat() {
	// The error needs no handling: a failed write ends the connection.
	_ = c.t.WriteIfQuiet(c.options.heartbeatInterval, TextMessage, c.options.heartbeat)
}

// Ping sends a ping, waits for its pong and returns the round trip time. It may be called
// from any goroutine, but a pong arrives only while another goroutine reads: in
// [Conn.ReadMessage] or by [Conn.CloseRead].
//
// If ctx ends before the pong arrives, the error wraps the context's cause, and the
// connection goes on. If the connection ends first, the error wraps the cause of the
// connection's context. A ping that can't be written fails as any write does. The context
// bounds the wait for other frames and for the pong; the write itself is bounded by
// WriteTimeout or the caller's write deadline.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	var p *pendingPing
	defer func() { c.pings.remove(p) }()
	err := c.t.WritePing(ctx, func() (payload []byte) {
		p, payload = c.pings.begin()
		return payload
	})
	if err != nil {
		return 0, err
	}
	select {
	case <-p.answered:
		return p.roundTrip, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-c.Context().Done():
		err = context.Cause(c.Context())
	}
	select {
	case <-p.answered: // before the context ended
		return p.roundTrip, nil
	default:
		return 0, fmt.Errorf("websocket: ping: %w", err)
	}
}

// pings numbers the pings of this side consecutively and keeps those with a waiting caller. A
// peer may answer only the last of several pings (RFC 6455, 5.5.3), so a pong also answers
// all pings before its own.
type pings struct {
	mu      sync.Mutex
	last    uint64       // number of the last ping
	pending *pendingPing // a list, the latest ping first
}

// A pendingPing is a ping with a caller that waits for its pong.
type pendingPing struct {
	number    uint64
	sent      time.Time
	roundTrip time.Duration // set before answered is closed
	answered  chan struct{}
	older     *pendingPing
}

// next returns the payload of another ping.
func (p *pings) next() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nextLocked()
}

// nextLocked is next for a caller that holds the lock.
func (p *pings) nextLocked() []byte {
	p.last++
	return binary.BigEndian.AppendUint64(nil, p.last)
}

// begin is next for a ping with a caller that waits. The caller must call remove at the end.
func (p *pings) begin() (*pendingPing, []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	payload := p.nextLocked()
	p.pending = &pendingPing{number: p.last, sent: time.Now(), answered: make(chan struct{}), older: p.pending}
	return p.pending, payload
}

// remove removes a ping, if it is still pending.
func (p *pings) remove(ping *pendingPing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(func(pending *pendingPing) bool { return pending == ping })
}

// removeLocked removes the pings for which done returns true. The caller holds the lock.
func (p *pings) removeLocked(done func(*pendingPing) bool) {
	for next := &p.pending; *next != nil; {
		if done(*next) {
			*next = (*next).older
		} else {
			next = &(*next).older
		}
	}
}

// handlePong takes the payload of a pong, which answers that ping and all earlier ones.
func (p *pings) handlePong(payload string) {
	if len(payload) != 8 {
		return // not one of our numbers
	}
	number := binary.BigEndian.Uint64([]byte(payload))
	p.mu.Lock()
	defer p.mu.Unlock()
	if number > p.last {
		return
	}
	p.removeLocked(func(pending *pendingPing) bool {
		if pending.number > number {
			return false
		}
		pending.roundTrip = time.Since(pending.sent)
		close(pending.answered)
		return true
	})
}
