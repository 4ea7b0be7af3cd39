package websocket

import (
	"context"
	"math/rand/v2"
	"time"
)

// Drain ends all connections one after the other, spread over a time, so that their clients do
// not all reconnect at the same moment. It is for a server that is replaced while others take its
// clients. New upgrades are refused with 503 from the start. Each connection has its turn in a
// random order, at a random moment of its share of the time: of n connections, one in each nth
// part of it. Until then it goes on as before. From its turn on, it ends as in [Endpoint.Shutdown],
// but with the close frame of Options.DrainClose, code 1012 by default: its context is canceled
// with ErrShutdown, reads fail, and Serve may choose another close frame.
//
// Zero or less for over means that all turns are at once. If ctx has a deadline, over is shortened
// so that the close timeout and 3 seconds are left before it, but at most to half of the time until
// the deadline: give ctx that much more than over. A connection that ends by itself before its turn
// makes place for another, so the turns are never closer together, and may be over earlier. A
// connection whose upgrade is under way when Drain is called ends as soon as it is upgraded, and is
// not served.
//
// Drain returns nil when every Serve has returned and every socket is closed: then no goroutine of
// the Endpoint is left. If ctx ends first, Drain closes the remaining sockets, also of connections
// that have not had their turn and of upgrades in progress, and returns an error that contains
// their number and wraps the cause of ctx.
//
// Shutdown ends a Drain: all connections that wait for their turn end at once, with
// Options.ShutdownClose. So does a Drain whose turns are over earlier: it spreads the connections that
// wait anew, over its own time; one whose turns would be over later leaves them as they are. In each
// case, both calls return when no connection is left. Drain may be called from any goroutine. An Endpoint
// can't be used again after it.
func (e *Endpoint) Drain(ctx context.Context, over time.Duration) error {
	d := departing{endpoint: e, ctx: ctx, why: drained}
	defer d.closing.Wait()
	over = e.spreadWithin(ctx, over)
	begun := time.Now()
	idle, replaced, conns := e.live.drain(begun.Add(over))
	d.takeTurns(newTurns(conns, begun, over), idle, replaced)
	return d.await(idle, "drain")
}

// BeginDrain does the first part of Drain and does not block: when it has returned, upgrades are
// refused. Drain must follow. An adapter calls it as soon as it learns that the server stops.
// BeginDrain may be called from any goroutine, more than once.
func (e *Endpoint) BeginDrain() { e.live.stopAccepting(drained) }

// spreadWithin returns the time over which a Drain spreads its turns if ctx bounds it. What is left
// is for the last connection to end.
func (e *Endpoint) spreadWithin(ctx context.Context, over time.Duration) time.Duration {
	over = min(over, forever)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		over = min(over, left-min(serveGrace+min(e.connOptions().closeTimeout, forever), left/2))
	}
	return max(over, 0)
}

// takeTurns ends the connections, each at its turn. It returns earlier if a later Shutdown or Drain
// takes care of them, if no connection is left, or if the context ends: then the remaining
// connections are notified, and the caller cuts them.
func (d *departing) takeTurns(queue *turns, idle, replaced <-chan struct{}) {
	for _, conn := range queue.ending {
		d.end(conn)
	}
	timer := time.NewTimer(forever)
	defer timer.Stop()
	for i := range queue.parts {
		if wait := time.Until(queue.turn(i)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-idle:
				return
			case <-replaced:
				return
			case <-d.ctx.Done():
				for conn := range queue.all {
					conn.shutDown(d.why)
				}
				return
			}
		}
		if !d.endNext(queue) {
			return
		}
	}
}

// endNext ends the next connection that has not begun to end by itself; those before it need no
// turn. It reports whether there was one.
func (d *departing) endNext(queue *turns) bool {
	for conn := range queue.all {
		endsItself := conn.Context().Err() != nil
		d.end(conn)
		if !endsItself {
			return true
		}
	}
	return false
}

// end notifies a connection, and closes it.
func (d *departing) end(conn *Conn) {
	conn.shutDown(d.why)
	grace, cancel := context.WithTimeout(context.Background(), graceWithin(d.ctx))
	d.closing.Go(func() {
		defer cancel()
		conn.guard(func() { conn.closeForShutdown(grace.Done()) })
	})
}

// turns are the connections that a Drain has still to end.
type turns struct {
	begun   time.Time
	over    time.Duration
	parts   int     // of the time, each with one turn
	ending  []*Conn // that have begun to end already: they need no turn
	waiting []*Conn // in random order
}

func newTurns(conns []*Conn, begun time.Time, over time.Duration) *turns {
	q := &turns{begun: begun, over: over}
	for _, conn := range conns {
		if conn.Context().Err() != nil {
			q.ending = append(q.ending, conn)
		} else {
			q.waiting = append(q.waiting, conn)
		}
	}
	rand.Shuffle(len(q.waiting), func(i, j int) { q.waiting[i], q.waiting[j] = q.waiting[j], q.waiting[i] })
	q.parts = len(q.waiting)
	return q
}

// turn returns when the turn with index i is: at a random moment of the part of the time that has
// this index. So turns are spread evenly, also if several servers drain at the same time.
func (q *turns) turn(i int) time.Time {
	share := (float64(i) + rand.Float64()) / float64(q.parts) //nolint:gosec // nothing is secret
	return q.begun.Add(time.Duration(share * float64(q.over)))
}

// all takes the connections that wait, one after the other.
func (q *turns) all(yield func(*Conn) bool) {
	for len(q.waiting) > 0 {
		last := len(q.waiting) - 1
		conn := q.waiting[last]
		q.waiting[last] = nil // it may have ended long before the last turn
		q.waiting = q.waiting[:last]
		if !yield(conn) {
			return
		}
	}
}
