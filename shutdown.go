package websocket

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Stats counts what an Endpoint does.
type Stats struct {
	Open     int    // connections whose ending is not complete, now
	Upgrades uint64 // requests upgraded since the start
}

// Stats returns the numbers of this moment.
func (e *Endpoint) Stats() Stats {
	e.live.mu.Lock()
	defer e.live.mu.Unlock()
	return Stats{Open: len(e.live.conns), Upgrades: e.live.upgrades}
}

// Shutdown ends all connections: new upgrades are refused with 503, every
// connection's context is canceled with ErrShutdown, a close frame with code
// 1001 is sent to all at once. It returns nil when every Serve has returned and
// every socket is closed: nothing of the Endpoint runs then. When ctx ends first,
// the sockets that are left are closed and an error says how many they were; it
// wraps the cause of ctx.
//
// It may be called again, also at the same time. There is no way back.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	idle := e.live.refuse()
	conns := e.live.all()
	for _, conn := range conns {
		conn.shutDown()
	}
	var closing sync.WaitGroup
	defer closing.Wait()
	for _, conn := range conns {
		closing.Go(func() { _ = conn.closeWith(shutdownFrame) })
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-idle:
		return nil
	default:
	}
	left := e.live.all()
	for _, conn := range left {
		_ = conn.CloseNow()
	}
	return fmt.Errorf("websocket: shutdown: %d connections cut: %w", len(left), context.Cause(ctx))
}

// shutDown tells the connection that its Endpoint shuts down.
func (c *Conn) shutDown() {
	if !c.t.closeSent.Load() {
		c.shutdown.Store(true)
	}
	c.t.cancel(ErrShutdown)
}

// register is the live connections of an Endpoint and the upgrades under way.
type register struct {
	mu       sync.Mutex
	conns    map[*Conn]struct{}
	reserved int
	upgrades uint64
	idle     chan struct{} // once upgrades are refused; closed when nothing is left
}

// reserve counts an upgrade that begins. It is given back, or becomes a
// connection.
func (r *register) reserve() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle != nil {
		return false
	}
	r.reserved++
	return true
}

func (r *register) giveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
	r.check()
}

// add makes a reservation a connection and tells whether Shutdown began
// meanwhile.
func (r *register) add(conn *Conn) (down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		r.conns = make(map[*Conn]struct{})
	}
	r.conns[conn] = struct{}{}
	r.reserved--
	r.upgrades++
	return r.idle != nil
}

func (r *register) remove(conn *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
	r.check()
}

// refuse ends the reservations and returns a channel that is closed when the
// last connection is removed.
func (r *register) refuse() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle == nil {
		r.idle = make(chan struct{})
		r.check()
	}
	return r.idle
}

func (r *register) check() {
	if r.idle != nil && r.reserved == 0 && len(r.conns) == 0 {
		close(r.idle)
	}
}

func (r *register) all() []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.conns))
}
