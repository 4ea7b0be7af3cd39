package testws

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// A Parkable is a handler whose hijacked connections can be parked, also in memory, in a synctest bubble:
// while a connection is parked, a goroutine waits in a read, until something arrives, a deadline passes or
// the connection is closed.
type Parkable struct {
	http.Handler
	Parked atomic.Int64 // how often a connection was parked
}

func (h *Parkable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.Handler.ServeHTTP(&parkableWriter{w, h}, r)
}

type parkableWriter struct {
	http.ResponseWriter
	handler *Parkable
}

func (w *parkableWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &parkableConn{Conn: nc, handler: w.handler, reading: make(chan struct{}, 1)}, rw, nil
}

// A parkableConn reads one byte ahead to learn that a read would not wait.
type parkableConn struct {
	net.Conn
	handler *Parkable

	reading chan struct{} // a lock for reads: it has a value while a goroutine reads
	ahead   []byte        // at most one byte; belongs to the reading goroutine

	mu       sync.Mutex
	ready    func()
	watching bool // whether the goroutine of watch runs
	has      bool // whether there is a byte ahead
}

// NotifyReadable implements transport.Pollable.
func (c *parkableConn) NotifyReadable(ready func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = ready
	switch {
	case ready == nil:
		return
	case c.has:
		c.notify()
	case !c.watching:
		c.watching = true
		go c.watch()
	}
	c.handler.Parked.Add(1)
}

// notify calls ready. The mutex is held.
func (c *parkableConn) notify() {
	if ready := c.ready; ready != nil {
		c.ready = nil
		ready()
	}
}

// watch reads a byte, and then calls ready. It drops an error, which the next Read meets again: the stream
// has ended, or a deadline has passed.
func (c *parkableConn) watch() {
	var b [1]byte
	c.reading <- struct{}{}
	n := 0
	if len(c.ahead) == 0 {
		n, _ = c.Conn.Read(b[:])
		c.ahead = append(c.ahead, b[:n]...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.has = len(c.ahead) > 0
	c.watching = false
	<-c.reading
	c.notify()
}

func (c *parkableConn) Read(p []byte) (int, error) {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	if len(c.ahead) > 0 && len(p) > 0 {
		n := copy(p, c.ahead)
		c.mu.Lock()
		c.ahead, c.has = nil, false
		c.mu.Unlock()
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite ends the stream of what is written.
func (c *parkableConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
