package websocket

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// serveGrace is how long Serve may take to return at a shutdown before the client is sent
// the close frame.
const serveGrace = 3 * time.Second

// Shutdown ends all connections. New upgrades are refused with 503. Every connection's
// context is canceled with ErrShutdown, and its reads fail with that error, including a
// read that is waiting. As soon as its Serve returns, the client is sent a close frame with
// code 1001, or with the code and text that Serve chose (see [NewCloseError]). If Serve has
// not returned after 3 seconds, or after half of the time until the deadline of ctx if that
// is less, its client is sent 1001 then.
//
// Shutdown returns nil when every Serve has returned and every socket is closed: then no
// goroutine of the Endpoint is left. If ctx ends first, Shutdown closes the remaining
// sockets, also of upgrades in progress, and returns an error that contains
// their number and wraps the cause of ctx. It does not wait for a Serve that is still
// running then.
//
// A connection whose Serve has not begun yet is closed like the others and not served.
//
// Shutdown may be called again, and by several goroutines at the same time. An Endpoint
// can't be used again after it.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	idle, conns := e.beginShutdown()
	graceOver := make(chan struct{})
	grace := time.AfterFunc(graceWithin(ctx), func() { close(graceOver) })
	defer grace.Stop()
	var closing sync.WaitGroup
	defer closing.Wait()
	for _, conn := range conns {
		closing.Go(func() { conn.guard(func() { conn.closeForShutdown(graceOver) }) })
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
	return fmt.Errorf("websocket: shutdown: connections cut: %d: %w", e.live.abort(), context.Cause(ctx))
}

// BeginShutdown does the first part of Shutdown and does not block. When it has returned,
// upgrades are refused and the connections' contexts are canceled. From then on, whatever
// Serve returns, its connection ends with 1001 or with the close frame that Serve chose. An
// adapter calls it as soon as it learns that the server stops: the application may then
// close resources that Serve uses, and Serve may fail because of that. Shutdown must
// follow. BeginShutdown may be called from any goroutine, more than once.
func (e *Endpoint) BeginShutdown() { e.beginShutdown() }

// beginShutdown is BeginShutdown. It returns a channel that is closed when no upgrade and
// no connection is left, and the current connections.
func (e *Endpoint) beginShutdown() (idle <-chan struct{}, conns []*Conn) {
	idle, conns = e.live.stopAccepting()
	for _, conn := range conns {
		conn.shutDown()
	}
	return idle, conns
}

// graceWithin returns how long Serve may take to return if ctx bounds the shutdown. The
// rest of the time is for the closing handshake with the client.
func graceWithin(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(serveGrace, time.Until(deadline)/2)
	}
	return serveGrace
}

// shutDown notifies the connection that its Endpoint shuts down.
func (c *Conn) shutDown() { c.t.BeginShutdown(ErrShutdown) }

// closeForShutdown makes the reads fail, so that a Serve that waits in a read notices the
// shutdown. It closes the connection if Serve has not returned when graceOver is closed.
func (c *Conn) closeForShutdown(graceOver <-chan struct{}) {
	select {
	case <-c.group.hooksReturned.Done(): // the hooks of BeforeClose have returned: what Serve sends from now on comes after theirs
	case <-c.t.Closed():
	case <-graceOver:
	}
	if c.t.ShuttingDown() {
		if err := c.failReads(ErrShutdown); isPanic(err) {
			c.t.FailUnreached("read", ErrShutdown, err)
		} // any other read that can't be interrupted waits until the close frame is sent
	}
	select {
	case <-c.t.Closed():
	case <-graceOver:
		_ = c.closeWith(shutdownFrame)
	}
}

// abort closes the socket at once, for a shutdown whose time is over. A panic of the
// underlying net.Conn is recovered.
func (c *Conn) abort() { c.guard(func() { _ = c.CloseNow() }) }
