package websocket

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// serveGrace is how long Serve may take to return when the server shuts down, before its
// client is told.
const serveGrace = 3 * time.Second

// Shutdown ends all connections. New upgrades are refused with 503. Every connection's
// context is canceled with ErrShutdown, and its reads fail with that, also one that waits.
// As soon as its Serve returns, the client is sent a close frame with code 1001, or with the
// code and text that Serve chose (see [NewCloseError]). A client whose Serve has not returned
// after 3 seconds, or half of the time until the deadline of ctx if that is less, is sent
// 1001 then.
//
// It returns nil when every Serve has returned and every socket is closed: nothing of the
// Endpoint runs then. When ctx ends first, it closes the sockets that are left, those of
// upgrades under way too, and returns an error that says how many they were and wraps the
// cause of ctx.
//
// A connection that was upgraded at the last moment, and whose Serve has not
// begun, is closed like the others and not served.
//
// It may be called again, also at the same time. There is no way back.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	idle, conns := e.beginShutdown()
	late := make(chan struct{})
	grace := time.AfterFunc(graceWithin(ctx), func() { close(late) })
	defer grace.Stop()
	var closing sync.WaitGroup
	defer closing.Wait()
	for _, conn := range conns {
		closing.Go(func() { conn.guard(func() { conn.closeForShutdown(late) }) })
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

// BeginShutdown does the first part of Shutdown, and waits for nothing. When it has
// returned, upgrades are refused, the connections' contexts are canceled, and whatever
// Serve returns, its connection ends with 1001, or with what Serve chose. An adapter calls
// it as soon as it learns that the server stops: the application may then close what Serve
// uses, and Serve may fail because of that. Shutdown must follow. It may be called from any
// goroutine, more than once.
func (e *Endpoint) BeginShutdown() { e.beginShutdown() }

// beginShutdown returns also a channel that is closed when nothing is left, and the
// connections that there are.
func (e *Endpoint) beginShutdown() (idle <-chan struct{}, conns []*Conn) {
	idle, conns = e.live.stopAccepting()
	for _, conn := range conns {
		conn.shutDown()
	}
	return idle, conns
}

// graceWithin is how long Serve may take to return when ctx bounds the shutdown: the rest
// of the time is for the client.
func graceWithin(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(serveGrace, time.Until(deadline)/2)
	}
	return serveGrace
}

// shutDown tells the connection that its Endpoint shuts down.
func (c *Conn) shutDown() { c.t.BeginShutdown(ErrShutdown) }

// closeForShutdown has the reads fail, lest a Serve that waits in one does not learn of the
// shutdown, and closes the connection when Serve has not returned in time.
func (c *Conn) closeForShutdown(late <-chan struct{}) {
	select {
	case <-c.group.hooksReturned.Done(): // what Serve sends from now on comes after BeforeClose
	case <-c.t.Closed():
	case <-late:
	}
	if c.t.ShuttingDown() {
		if err := c.failReads(ErrShutdown); isPanic(err) {
			c.t.FailUnreached("read", ErrShutdown, err)
		} // else a read that is not reached waits until the client is told
	}
	select {
	case <-c.t.Closed():
	case <-late:
		_ = c.closeWith(shutdownFrame)
	}
}

// abort is for a shutdown whose time is over: the socket is closed at once. It survives
// what panics beneath.
func (c *Conn) abort() { c.guard(func() { _ = c.CloseNow() }) }
