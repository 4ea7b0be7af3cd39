package websocket

import (
	"context"
	"time"
)

// Context returns the context of the connection, with the values of the request's context. It
// is canceled as soon as a close frame is read or sent, the socket fails, or Shutdown begins.
// A close frame of the peer and a failure of the socket are only noticed by a read or write
// that is in progress. context.Cause returns the reason: the *CloseError, ErrShutdown,
// ErrPeerGone, or the error of the socket. It may be called from any goroutine, and always
// returns the same context.
func (c *Conn) Context() context.Context { return (*connContext)(c) }

// FromContext returns the connection of a context: of an upgraded request's context,
// [Conn.Context], or a context derived from one of these. It reports whether there is one.
func FromContext(ctx context.Context) (*Conn, bool) {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return c, ok
}

type connKey struct{}

// connContext is a Conn as a context.Context. The real context, a lifetime, is only made when
// it is first needed, to save memory: most controllers read until an error and never use it.
type connContext Conn

func (*connContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

func (c *connContext) Done() <-chan struct{} { return (*Conn)(c).life().Done() }

func (c *connContext) Err() error {
	if l := c.lifetime.Load(); l != nil {
		return l.Err()
	}
	return nil // to cancel the context is to make it
}

func (c *connContext) Value(key any) any {
	if key == (connKey{}) {
		return (*Conn)(c)
	}
	return (*Conn)(c).life().Value(key) // also for the private key of package context
}

func (*connContext) String() string { return "websocket.Conn.Context" }

// A lifetime is the context of a connection, with the function that cancels it.
type lifetime struct {
	context.Context
	cancel context.CancelCauseFunc
}

// life returns the lifetime of the connection. The first call makes it.
func (c *Conn) life() *lifetime {
	if c.lifetime.Load() == nil {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.request))
		c.lifetime.CompareAndSwap(nil, &lifetime{ctx, cancel})
	}
	return c.lifetime.Load()
}
