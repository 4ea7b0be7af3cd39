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
	switch l := c.lifetime.Load(); {
	case l == nil:
		return nil
	case l.Context == nil:
		return context.Canceled
	default:
		return l.Err()
	}
}

func (c *connContext) Value(key any) any {
	if key == (connKey{}) {
		return (*Conn)(c)
	}
	return (*Conn)(c).life().Value(key) // also for the private key of package context
}

func (*connContext) String() string { return "websocket.Conn.Context" }

// A lifetime is the context of a connection, with the function that cancels it. If the
// connection ends before its context is needed, there is only the cause.
type lifetime struct {
	context.Context
	cancel context.CancelCauseFunc
	cause  error // why the connection has ended; used if there is no context
}

// life returns the lifetime of the connection, with its context. The first call makes it.
func (c *Conn) life() *lifetime {
	for {
		l := c.lifetime.Load()
		if l != nil && l.Context != nil {
			return l
		}
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.request))
		if l != nil {
			cancel(l.cause)
		}
		c.lifetime.CompareAndSwap(l, &lifetime{Context: ctx, cancel: cancel})
	}
}

// endLife cancels the context of the connection. If there is none, it notes the cause alone.
func (c *Conn) endLife(cause error) {
	if c.lifetime.Load() == nil && c.lifetime.CompareAndSwap(nil, &lifetime{cause: cause}) {
		return
	}
	if l := c.lifetime.Load(); l.Context != nil { // otherwise it has ended before
		l.cancel(cause)
	}
}
