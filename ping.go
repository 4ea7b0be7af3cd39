package websocket

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

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
