package websocket

import (
	"context"
	"time"
)

// Context returns a context that lives as long as the connection, with the
// values of the request's. It is canceled as soon as a close frame is read or sent, the
// socket fails, or Shutdown begins. Close frames and failures are only noticed by a read or
// write that is under way. context.Cause returns the reason: the *CloseError, ErrShutdown,
// ErrPeerGone, or the error of the socket.
func (c *Conn) Context() context.Context { return (*connContext)(c) }

// FromContext returns the connection that ctx belongs to: that of an upgraded
// request, or one derived from it.
func FromContext(ctx context.Context) (*Conn, bool) {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return c, ok
}

type connKey struct{}

// connContext is a Conn as its own context. It makes the real one, lifetime, when it is
// first needed: most controllers only read until an error and never look at the context.
type connContext Conn

func (*connContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

func (c *connContext) Done() <-chan struct{} { return (*Conn)(c).life().Done() }

func (c *connContext) Err() error {
	if l := c.lifetime.Load(); l != nil {
		return l.Err()
	}
	return nil // canceling it makes it
}

func (c *connContext) Value(key any) any {
	if key == (connKey{}) {
		return (*Conn)(c)
	}
	return (*Conn)(c).life().Value(key) // package context asks it for a key of its own
}

func (*connContext) String() string { return "websocket.Conn.Context" }

// A lifetime is the context of a connection, with what cancels it.
type lifetime struct {
	context.Context
	cancel context.CancelCauseFunc
}

// life returns the lifetime of the connection, and makes it at the first call.
func (c *Conn) life() *lifetime {
	if c.lifetime.Load() == nil {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.request))
		c.lifetime.CompareAndSwap(nil, &lifetime{ctx, cancel})
	}
	return c.lifetime.Load()
}
