package websocket

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// pongWait bounds how long a read waits for a frame under way before it leaves
// a ping without an answer, as gorilla does.
const pongWait = time.Second

// A pingHandled is a ping whose handler is running.
type pingHandled struct {
	data     string
	answered atomic.Bool
}

// installHandlers puts ours into gorilla's connection, which calls none: its getters
// tell whether the application has set others there. The caller's run from ours.
func (c *Conn) installHandlers() {
	c.Conn.SetCloseHandler(func(code int, text string) error {
		return c.handle(func() error { return c.CloseHandler()(code, text) })
	})
	c.Conn.SetPingHandler(func(data string) error {
		return c.handle(func() error { return c.handlePing(data) })
	})
	c.Conn.SetPongHandler(func(data string) error {
		c.pings.answer(data)
		return c.handle(func() error { return c.PongHandler()(data) })
	})
}

// handle runs a handler. One that comes back here, because it was taken from the
// embedded connection, has done its work.
func (c *Conn) handle(handler func() error) error {
	if c.handling {
		return nil
	}
	c.handling = true
	defer func() { c.handling = false }()
	return handler()
}

// handlePing runs the caller's handler and answers, unless the handler did.
func (c *Conn) handlePing(data string) error {
	p := &pingHandled{data: data}
	c.pinged.Store(p)
	defer c.pinged.Store(nil)
	if err := c.PingHandler()(data); err != nil || p.answered.Load() {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), pongWait)
	defer cancel()
	if err := c.t.lockWrite(&bound{ctx: ctx}); err != nil {
		return nil // the peer may ping again, and a failure shows where it happened
	}
	defer c.t.unlockWrite()
	b := c.t.ownBound() // the caller's deadline is for the caller's writes
	return c.t.sendFrame(&b, wire.OpPong, []byte(data))
}

// SetCloseHandler sets a function that runs when a read meets the peer's close
// frame, on the reading goroutine, before the frame is answered. It may answer
// itself, with Close or a CloseMessage. The code is CloseNoStatusReceived for an
// empty frame. Its error is returned by the read instead of the *CloseError. Nil
// takes the function away.
func (c *Conn) SetCloseHandler(h func(code int, text string) error) {
	c.onClose.set(h, h == nil)
}

// CloseHandler returns what SetCloseHandler set, or a function that does
// nothing.
func (c *Conn) CloseHandler() func(code int, text string) error {
	return c.onClose.get(func(int, string) error { return nil })
}

// SetPingHandler sets a function that runs when a read meets a ping, on the
// reading goroutine. Unless it writes a pong with the same data, the ping is
// answered when it returns. An error of it is returned by the read. Nil takes
// the function away.
func (c *Conn) SetPingHandler(h func(data string) error) { c.onPing.set(h, h == nil) }

// PingHandler returns what SetPingHandler set, or a function that does nothing:
// pings are answered without it.
func (c *Conn) PingHandler() func(data string) error {
	return c.onPing.get(func(string) error { return nil })
}

// SetPongHandler sets a function that runs when a read meets a pong, on the
// reading goroutine. An error of it is returned by the read. Nil takes the
// function away.
func (c *Conn) SetPongHandler(h func(data string) error) { c.onPong.set(h, h == nil) }

// PongHandler returns what SetPongHandler set, or a function that does nothing.
func (c *Conn) PongHandler() func(data string) error {
	return c.onPong.get(func(string) error { return nil })
}

// A handler is a function that may be set while another goroutine runs it.
type handler[F any] struct{ f atomic.Pointer[F] }

func (h *handler[F]) set(f F, none bool) {
	if none {
		h.f.Store(nil)
		return
	}
	h.f.Store(&f)
}

func (h *handler[F]) get(otherwise F) F {
	if f := h.f.Load(); f != nil {
		return *f
	}
	return otherwise
}
