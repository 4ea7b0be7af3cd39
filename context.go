package websocket

import (
	"context"
	"net/http"
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
	switch l := c.lifetime.Load(); l {
	case nil:
		return nil
	case endedUnused:
		return context.Canceled
	default:
		return l.Err()
	}
}

func (c *connContext) Value(key any) any {
	switch {
	case key == (connKey{}):
		return (*Conn)(c)
	case key == http.LocalAddrContextKey && c.withoutLocal:
		return c.LocalAddr()
	default:
		return (*Conn)(c).life().Value(key) // also for the private key of package context
	}
}

func (*connContext) String() string { return "websocket.Conn.Context" }

// A lifetime is the context of a connection, with the function that cancels it.
type lifetime struct {
	context.Context
	cancel context.CancelCauseFunc
}

// endedUnused stands for the lifetime of a connection that has ended before its context was used.
var endedUnused = new(lifetime)

// life returns the lifetime of the connection. The first call makes it.
func (c *Conn) life() *lifetime {
	for {
		l := c.lifetime.Load()
		if l != nil && l != endedUnused {
			return l
		}
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.request))
		if l == endedUnused {
			cancel(c.endedBy)
		}
		c.lifetime.CompareAndSwap(l, &lifetime{ctx, cancel})
	}
}

// endLife cancels the context of the connection. If it was not used, endLife notes the cause
// alone. The mutex of the group is held.
func (c *Conn) endLife(cause error) {
	if c.lifetime.Load() == nil {
		c.endedBy = cause
		if c.lifetime.CompareAndSwap(nil, endedUnused) {
			return
		}
	}
	if l := c.lifetime.Load(); l != endedUnused { // otherwise it has ended before
		l.cancel(cause)
	}
}
