package websocket

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// Ping sends a ping and waits for its answer, as long as ctx allows. It returns
// the round trip. It may be called from any goroutine, but the answer arrives
// only if somebody reads meanwhile: a [Conn.ReadMessage] that waits, or
// [Conn.CloseRead]. If ctx ends first, nothing happens to the connection, and the
// error wraps the context's cause; if the connection ends, it wraps the cause of
// the connection's context. The ping is written like any message: one that can't
// be fails as other writes do, and once it has begun to leave only WriteTimeout, or
// the caller's write deadline, bounds that.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	var p *pingUnderWay
	defer func() { c.pings.forget(p) }()
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
	case <-p.answered: // before it all ended
		return p.roundTrip, nil
	default:
		return 0, fmt.Errorf("websocket: ping: %w", err)
	}
}

// pings are those of ours, which carry consecutive numbers. A pong may answer
// only the last of several pings (RFC 6455, 5.5.3), so it answers those before,
// too.
type pings struct {
	mu   sync.Mutex
	last uint64
	open *pingUnderWay // the youngest of those that somebody waits for
}

// A pingUnderWay is one that somebody waits for.
type pingUnderWay struct {
	number    uint64
	sent      time.Time
	roundTrip time.Duration // set before answered is closed
	answered  chan struct{}
	older     *pingUnderWay
}

// next returns the payload of another ping.
func (p *pings) next() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count()
}

// count is next, with the lock held.
func (p *pings) count() []byte {
	p.last++
	return binary.BigEndian.AppendUint64(nil, p.last)
}

// begin is next for a ping that is waited for; forget must follow.
func (p *pings) begin() (*pingUnderWay, []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	payload := p.count()
	p.open = &pingUnderWay{number: p.last, sent: time.Now(), answered: make(chan struct{}), older: p.open}
	return p.open, payload
}

func (p *pings) forget(ping *pingUnderWay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(func(open *pingUnderWay) bool { return open == ping })
}

// drop takes pings out, with the lock held.
func (p *pings) drop(done func(*pingUnderWay) bool) {
	for open := &p.open; *open != nil; {
		if done(*open) {
			*open = (*open).older
		} else {
			open = &(*open).older
		}
	}
}

// answer takes in a pong.
func (p *pings) answer(payload string) {
	if len(payload) != 8 {
		return // somebody else's
	}
	number := binary.BigEndian.Uint64([]byte(payload))
	p.mu.Lock()
	defer p.mu.Unlock()
	if number > p.last {
		return
	}
	p.drop(func(open *pingUnderWay) bool {
		if open.number > number {
			return false
		}
		open.roundTrip = time.Since(open.sent)
		close(open.answered)
		return true
	})
}
