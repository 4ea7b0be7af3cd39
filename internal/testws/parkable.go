package testws

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// A Parkable is a handler whose hijacked connections can be parked, whatever network they are of: a
// goroutine tells when there is something to read. So the parking of connections can be tested in
// memory, in a bubble.
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

	reading chan struct{} // has a value while a goroutine reads
	ahead   []byte        // at most one byte; belongs to the goroutine that reads

	mu       sync.Mutex
	ready    func()
	watching bool // a goroutine of watch runs
	has      bool // there is a byte ahead
}

// NotifyReadable is that of transport.Pollable.
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

// watch reads a byte, and then calls ready. An error, also of a deadline, is that of the next Read.
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
