package websocket

import (
	"context"
	"sync"
	"time"
)

// keepalive pings the peer and notices when it is gone, by one timer and without
// a goroutine of its own. Times are those since the connection began.
type keepalive struct {
	c           *Conn
	interval    time.Duration
	pongTimeout time.Duration // 0: no answer is expected

	mu      sync.Mutex
	timer   *time.Timer
	next    time.Duration // when a ping is due
	pinging bool
	stopped bool
	armed   sync.WaitGroup // the timer, set or running
}

func (k *keepalive) start(c *Conn, options *Options) {
	k.c, k.interval, k.pongTimeout = c, options.pingInterval(), options.pongTimeout()
	if k.interval == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = c.t.age() + k.interval
	k.armed.Add(1)
	k.timer = time.AfterFunc(k.interval, k.tick)
}

// stop returns when nothing of the keep-alive is left. The socket is closed, so
// that takes no time.
func (k *keepalive) stop() {
	k.mu.Lock()
	k.stopped = true
	if k.timer != nil && k.timer.Stop() {
		k.armed.Done()
	}
	k.mu.Unlock()
	k.armed.Wait()
}

// tick runs when a ping is due, or when the peer would be gone if nothing has
// come. The ping is written last: it may take a while, and the next tick comes
// all the same.
func (k *keepalive) tick() {
	defer k.armed.Done()
	t := k.c.t
	if t.isClosed() || t.closeBegun.Load() {
		return // the closing handshake has a bound of its own
	}
	now := t.age()
	due, waiting := k.due()
	if waiting && now >= due {
		t.counts.peerGone.Store(true)
		_ = t.fail(&ioError{op: "read", err: ErrPeerGone, gone: true})
		return
	}
	if k.again(now, due, waiting) {
		k.ping()
		k.mu.Lock()
		k.pinging = false
		k.mu.Unlock()
	}
}

// due is when the peer is gone if nothing comes until then: what counts is for
// how long the transport has been waiting, so that a controller that does not
// read is told nothing wrong about its peer.
func (k *keepalive) due() (at time.Duration, waiting bool) {
	since, waiting := k.c.t.waitingSince()
	return since + k.interval + k.pongTimeout, waiting && k.pongTimeout > 0
}

// again sets the timer for what comes next and tells whether to ping now.
func (k *keepalive) again(now, due time.Duration, waiting bool) (ping bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return false
	}
	if now >= k.next {
		k.next = now + k.interval
		ping = !k.pinging // the last one may still be on its way out
		k.pinging = true
	}
	at := k.next
	if waiting {
		at = min(at, due)
	}
	k.armed.Add(1)
	k.timer.Reset(at - now)
	return ping
}

// ping writes a ping. A frame under way is waited for no longer than an answer
// would be.
func (k *keepalive) ping() {
	t := k.c.t
	write := t.ownDeadline()
	if write.within == 0 {
		write.within = k.pongTimeout
	}
	wait := write
	if k.pongTimeout > 0 {
		wait.within = min(wait.within, k.pongTimeout)
	}
	if t.lockWrite(context.Background(), wait) != nil {
		return // whoever is writing finds out what is wrong
	}
	defer t.unlockWrite()
	_ = t.sendFrame(context.Background(), opPing, k.c.pings.next(), write) // a failure is the connection's
}
