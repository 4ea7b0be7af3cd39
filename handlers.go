package websocket

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// pongWait bounds how long the reading goroutine waits to write a pong while another frame is
// being written. Then the ping stays unanswered. The bound is gorilla's.
const pongWait = time.Second

// A control says what the reading goroutine does with a control frame. It may be both.
type control uint8

const (
	isPong      control = 1 << iota // the frame that is handled is a pong
	handlerRuns                     // a handler is running
)

// handlers are the handlers that the application has set.
type handlers struct {
	close   handler[func(code int, text string) error]
	ping    handler[func(data string) error]
	pong    handler[func(data string) error]
	handled atomic.Pointer[handledPing] // nil while no ping handler is running
}

// A handler is a function of type F, nil if the application has set none.
type handler[F any] struct{ f atomic.Pointer[F] }

func (h *handler[F]) set(f F) { h.f.Store(&f) }

func (h *handler[F]) get() (f F) {
	if set := h.f.Load(); set != nil {
		f = *set
	}
	return f
}

// A handledPing is a ping whose handler is running.
type handledPing struct {
	data     string
	answered atomic.Bool // a pong with the same data was written
}

// noHandlers are those of most connections.
var noHandlers = new(handlers)

// handlers returns the handlers that the application has set until now.
func (c *Conn) handlers() *handlers { return cmp.Or(c.ownHandlers.Made(), noHandlers) }

// ensureHandlers returns the handlers, for one to be set.
func (c *Conn) ensureHandlers() *handlers {
	return c.ownHandlers.Get(func() *handlers { return new(handlers) })
}

// pongWritten notes that the application writes a pong, which may answer the ping whose handler is
// running.
func (c *Conn) pongWritten(data []byte) {
	if p := c.handlers().handled.Load(); p != nil && p.data == string(data) {
		p.answered.Store(true)
	}
}

// installHandlers sets our handlers on gorilla's connection. gorilla never sees a control
// frame and so never calls them. The engine calls what gorilla's getters return: a handler
// that the application set on the embedded connection, or else ours, which calls the handler
// that the application set on the Conn. Pings and pongs share a function, to save its memory.
func (c *Conn) installHandlers() {
	c.Conn.SetCloseHandler(c.handleClose)
	handle := c.handleControl
	c.Conn.SetPingHandler(handle)
	c.Conn.SetPongHandler(handle)
}

// A handler of the application may call the one that it replaced, which it got from the
// embedded connection. While a handler of the Conn runs, each of ours does nothing then.

func (c *Conn) handleClose(code int, text string) error {
	h := c.handlers().close.get()
	if h == nil || c.control&handlerRuns != 0 {
		return nil
	}
	c.control |= handlerRuns
	defer func() { c.control &^= handlerRuns }()
	return h(code, text)
}

// handleControl handles a ping, or a pong while the engine reports one.
func (c *Conn) handleControl(data string) error {
	if c.control&isPong != 0 {
		return c.handlePong(data)
	}
	return c.handlePing(data)
}

// handlePing calls the application's handler, then answers the ping unless the handler did.
func (c *Conn) handlePing(data string) error {
	if c.control&handlerRuns != 0 {
		return nil
	}
	c.control |= handlerRuns
	defer func() { c.control &^= handlerRuns }()
	set := c.handlers()
	if h := set.ping.get(); h != nil {
		p := &handledPing{data: data}
		set.handled.Store(p)
		defer set.handled.Store(nil)
		if err := h(data); err != nil || p.answered.Load() {
			return err
		}
	}
	// If a frame is in the way for too long, there is no pong: the peer may ping again. A
	// failure of that frame is returned by its own write.
	return c.t.WriteSoon(wire.OpPong, []byte(data), pongWait)
}

func (c *Conn) handlePong(data string) error {
	c.pings.handlePong(data)
	h := c.handlers().pong.get()
	if h == nil || c.control&handlerRuns != 0 {
		return nil
	}
	c.control |= handlerRuns
	defer func() { c.control &^= handlerRuns }()
	return h(data)
}

// SetCloseHandler sets a function that a read calls when it receives the peer's close frame,
// on the reading goroutine, before the frame is answered. The code is CloseNoStatusReceived
// for an empty frame. The handler may answer the frame itself, with Close or a CloseMessage.
// If it returns an error, the read returns that instead of the *CloseError. Nil removes the
// handler. It may be called from any goroutine.
func (c *Conn) SetCloseHandler(h func(code int, text string) error) {
	c.ensureHandlers().close.set(h)
}

// CloseHandler returns the handler that SetCloseHandler set, or a function that does nothing.
func (c *Conn) CloseHandler() func(code int, text string) error {
	if h := c.handlers().close.get(); h != nil {
		return h
	}
	return func(int, string) error { return nil }
}

// SetPingHandler sets a function that a read calls when it receives a ping, on the reading
// goroutine. The ping is answered when the handler returns, unless it has written a pong with
// the same data. If it returns an error, the read returns that. Nil removes the handler. It
// may be called from any goroutine.
func (c *Conn) SetPingHandler(h func(data string) error) {
	c.ensureHandlers().ping.set(h)
}

// PingHandler returns the handler that SetPingHandler set, or a function that does nothing,
// because pings are answered without a handler.
func (c *Conn) PingHandler() func(data string) error {
	if h := c.handlers().ping.get(); h != nil {
		return h
	}
	return func(string) error { return nil }
}

// SetPongHandler sets a function that a read calls when it receives a pong, on the reading
// goroutine. If it returns an error, the read returns that. Nil removes the handler. It may
// be called from any goroutine.
func (c *Conn) SetPongHandler(h func(data string) error) {
	c.ensureHandlers().pong.set(h)
}

// PongHandler returns the handler that SetPongHandler set, or a function that does nothing.
func (c *Conn) PongHandler() func(data string) error {
	if h := c.handlers().pong.get(); h != nil {
		return h
	}
	return func(string) error { return nil }
}
