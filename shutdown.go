package websocket

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// serveGrace is how long Serve, and the functions of Conn.Go, may take to return at a shutdown
// before the client is sent the close frame.
const serveGrace = 3 * time.Second

// Shutdown ends all connections at once. New upgrades are refused with 503. Every connection's
// context is canceled with ErrShutdown, and its reads fail with that error, including a
// read that is waiting. As soon as its Serve and its functions of [Conn.Go] return, the client is
// sent the close frame of Options.ShutdownClose, code 1001 by default, or the code and text that
// Serve or such a function chose (see [NewCloseError]). If one of them has not returned after 3
// seconds, or after half of the time until the deadline of ctx if that is less, the client is
// sent Options.ShutdownClose then.
//
// Shutdown returns nil when every Serve has returned and every socket is closed: then no
// goroutine of the Endpoint is left. If ctx ends first, Shutdown closes the remaining
// sockets, also of upgrades in progress, and returns an error that contains
// their number and wraps the cause of ctx. It does not wait for a Serve that is still
// running then.
//
// A connection whose Serve has not begun yet is closed like the others and not served.
//
// Shutdown may be called again, by several goroutines at the same time, and during a [Endpoint.Drain],
// whose remaining connections then end at once. An Endpoint can't be used again after it.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	d := departing{endpoint: e, ctx: ctx, why: shuttingDown}
	defer d.closing.Wait()
	idle, conns := e.beginShutdown()
	grace, cancel := context.WithTimeout(context.Background(), graceWithin(ctx))
	defer cancel()
	for _, conn := range conns {
		d.close(grace, conn)
	}
	return d.await(idle, "shutdown")
}

// BeginShutdown does the first part of Shutdown and does not block. When it has returned,
// upgrades are refused and the connections' contexts are canceled. From then on, whatever
// Serve returns, its connection ends with Options.ShutdownClose or with the close frame that Serve
// chose. An adapter calls it as soon as it learns that the server stops: the application may then
// close resources that Serve uses, and Serve may fail because of that. Shutdown must
// follow. BeginShutdown may be called from any goroutine, more than once.
func (e *Endpoint) BeginShutdown() { e.beginShutdown() }

// beginShutdown is BeginShutdown. It returns a channel that is closed when no upgrade and
// no connection is left, and the current connections.
func (e *Endpoint) beginShutdown() (idle <-chan struct{}, conns []*Conn) {
	idle, conns = e.live.stopAccepting(shuttingDown)
	for _, conn := range conns {
		conn.shutDown(shuttingDown)
	}
	return idle, conns
}

// departing is a call of Shutdown or Drain.
type departing struct {
	endpoint *Endpoint
	ctx      context.Context
	why      departure
	closing  sync.WaitGroup // of the goroutines of close
}

// close closes a connection that is notified of the shutdown, on a goroutine. If Serve does not
// return, its client is sent the close frame when grace ends.
func (d *departing) close(grace context.Context, conn *Conn) {
	d.closing.Go(func() { conn.guard(func() { conn.closeForShutdown(grace.Done()) }) })
}

// await waits until no upgrade and no connection is left. If the context ends first, it cuts
// them and returns an error.
func (d *departing) await(idle <-chan struct{}, what string) error {
	select {
	case <-idle:
		return nil
	case <-d.ctx.Done():
	}
	select {
	case <-idle:
		return nil
	default:
	}
	return fmt.Errorf("websocket: %s: connections cut: %d: %w", what, d.endpoint.live.abort(), context.Cause(d.ctx))
}

// graceWithin returns how long Serve may take to return if ctx bounds the shutdown. The
// rest of the time is for the closing handshake with the client.
func graceWithin(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(serveGrace, time.Until(deadline)/2)
	}
	return serveGrace
}

// shutDown notifies the connection that its Endpoint shuts down. The first call decides why.
func (c *Conn) shutDown(why departure) {
	c.group.depart(why)
	c.t.BeginShutdown(ErrShutdown)
}

// departureFrame returns the close frame of a connection that its Endpoint ends.
func (c *Conn) departureFrame() *CloseError {
	if c.group.departs() == drained {
		return c.options.drainFrame
	}
	return c.options.shutdownFrame
}

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
		_ = c.closeWith(c.departureFrame())
	}
}

// awaitFunctions waits, at a shutdown, until the functions of Conn.Go have returned, for what they
// return may choose the close frame. It waits no longer than Serve may take, and not once the close
// frame is chosen. It returns their errors. The goroutine that it starts ends with the last
// function, and counts in running, which is nil if there is none.
func (c *Conn) awaitFunctions() (errs []error, running *sync.WaitGroup) {
	g := &c.group
	if !c.t.ShuttingDown() || c.t.CloseChosen() {
		return nil, nil
	}
	started := g.openFunctions()
	if started == nil { // the last one may have returned since Serve has
		return g.takeErrors(), nil
	}
	running = new(sync.WaitGroup)
	returned := make(chan struct{})
	running.Go(func() {
		defer close(returned)
		started.running.Wait()
	})
	grace := time.NewTimer(serveGrace)
	defer grace.Stop()
	select {
	case <-returned:
	case <-c.t.Closed(): // Shutdown has sent the close frame
	case <-grace.C:
	}
	return g.takeErrors(), running
}

// abort closes the socket at once, for a shutdown whose time is over. A panic of the
// underlying net.Conn is recovered.
func (c *Conn) abort() { c.guard(func() { _ = c.CloseNow() }) }
