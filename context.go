package websocket

import (
	"context"
	"time"
)

// Context returns a context that lives as long as the connection, with the
// values of the request's. It is canceled as soon as a close frame is read or
// sent, the socket fails or Shutdown begins, which takes somebody who reads or
// writes to notice. context.Cause tells why: the *CloseError, ErrShutdown,
// ErrPeerGone, the error of the socket.
func (c *Conn) Context() context.Context { return (*connContext)(c) }

// FromContext returns the connection that ctx belongs to: that of an upgraded
// request, or one derived from it.
func FromContext(ctx context.Context) (*Conn, bool) {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return c, ok
}

type connKey struct{}

// connContext is a Conn as its own context. It stands for the one of lifetime, which
// costs memory that few connections need: many are served by somebody who only reads
// until an error.
type connContext Conn

func (*connContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

func (c *connContext) Done() <-chan struct{} { return (*Conn)(c).life().Done() }

func (c *connContext) Err() error {
	if l := c.lifetime.Load(); l != nil {
		return l.Err()
	}
	return nil // or it would have been made to be canceled
}

func (c *connContext) Value(key any) any {
	if key == (connKey{}) {
		return (*Conn)(c)
	}
	return (*Conn)(c).life().Value(key) // which package context looks for, too
}

func (*connContext) String() string { return "websocket.Conn.Context" }

// A lifetime is what ends with a connection.
type lifetime struct {
	context.Context
	cancel context.CancelCauseFunc
}

// life is the lifetime of the connection, made when somebody wants it.
func (c *Conn) life() *lifetime {
	if c.lifetime.Load() == nil {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.request))
		c.lifetime.CompareAndSwap(nil, &lifetime{ctx, cancel})
	}
	return c.lifetime.Load()
}
