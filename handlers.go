package websocket

import (
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

// installHandlers puts ours into gorilla's connection. gorilla never sees control frames, so
// it never calls them. We call what its getters return, so that a handler runs that was set
// on the embedded connection; the caller's run from ours.
func (c *Conn) installHandlers() {
	c.Conn.SetCloseHandler(c.handleClose)
	c.Conn.SetPingHandler(c.handlePing)
	c.Conn.SetPongHandler(c.handlePong)
}

// Each of ours does nothing where it is called by a handler of the caller's that got it from
// the embedded connection: it has done its work.

func (c *Conn) handleClose(code int, text string) error {
	h := c.onClose.Load()
	if h == nil || c.handling {
		return nil
	}
	c.handling = true
	defer func() { c.handling = false }()
	return (*h)(code, text)
}

// handlePing runs the caller's handler and answers, unless the handler did.
func (c *Conn) handlePing(data string) error {
	if c.handling {
		return nil
	}
	c.handling = true
	defer func() { c.handling = false }()
	if h := c.onPing.Load(); h != nil {
		p := &pingHandled{data: data}
		c.pinged.Store(p)
		defer c.pinged.Store(nil)
		if err := (*h)(data); err != nil || p.answered.Load() {
			return err
		}
	}
	// The peer may ping again where this takes longer, and a failure shows where it
	// happened.
	return c.t.WriteSoon(wire.OpPong, []byte(data), pongWait)
}

func (c *Conn) handlePong(data string) error {
	c.pings.answer(data)
	h := c.onPong.Load()
	if h == nil || c.handling {
		return nil
	}
	c.handling = true
	defer func() { c.handling = false }()
	return (*h)(data)
}

// SetCloseHandler sets a function that runs when a read meets the peer's close
// frame, on the reading goroutine, before the frame is answered. It may answer
// itself, with Close or a CloseMessage. The code is CloseNoStatusReceived for an
// empty frame. Its error is returned by the read instead of the *CloseError. Nil
// takes the function away.
func (c *Conn) SetCloseHandler(h func(code int, text string) error) {
	if h == nil {
		c.onClose.Store(nil)
		return
	}
	c.onClose.Store(&h)
}

// CloseHandler returns what SetCloseHandler set, or a function that does
// nothing.
func (c *Conn) CloseHandler() func(code int, text string) error {
	if h := c.onClose.Load(); h != nil {
		return *h
	}
	return func(int, string) error { return nil }
}

// SetPingHandler sets a function that runs when a read meets a ping, on the
// reading goroutine. Unless it writes a pong with the same data, the ping is
// answered when it returns. An error of it is returned by the read. Nil takes
// the function away.
func (c *Conn) SetPingHandler(h func(data string) error) {
	if h == nil {
		c.onPing.Store(nil)
		return
	}
	c.onPing.Store(&h)
}

// PingHandler returns what SetPingHandler set, or a function that does nothing:
// pings are answered without it.
func (c *Conn) PingHandler() func(data string) error {
	if h := c.onPing.Load(); h != nil {
		return *h
	}
	return func(string) error { return nil }
}

// SetPongHandler sets a function that runs when a read meets a pong, on the
// reading goroutine. An error of it is returned by the read. Nil takes the
// function away.
func (c *Conn) SetPongHandler(h func(data string) error) {
	if h == nil {
		c.onPong.Store(nil)
		return
	}
	c.onPong.Store(&h)
}

// PongHandler returns what SetPongHandler set, or a function that does nothing.
func (c *Conn) PongHandler() func(data string) error {
	if h := c.onPong.Load(); h != nil {
		return *h
	}
	return func(string) error { return nil }
}
