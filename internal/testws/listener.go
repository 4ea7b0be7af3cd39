package testws

import (
	"context"
	"net"
	"sync"
)

// PlainListener accepts connections that can do no more than a net.Conn can, as
// wrappers of listeners make them.
type PlainListener struct{ net.Listener }

// Accept returns a PlainConn.
func (l PlainListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return PlainConn{conn}, err
}

// PlainConn hides what a connection can do beyond net.Conn.
type PlainConn struct{ net.Conn }

// OneConn is a listener that accepts what Conns has, until Conns is closed.
type OneConn struct {
	Conns chan net.Conn
	net.Listener
}

// Accept waits for a connection.
func (l OneConn) Accept() (net.Conn, error) {
	if conn, ok := <-l.Conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// Close does nothing.
func (l OneConn) Close() error { return nil }

// Addr is no address in particular.
func (l OneConn) Addr() net.Addr { return &net.TCPAddr{} }

// OpenConns counts the connections that are open.
type OpenConns struct {
	mu sync.Mutex
	n  int
}

// By wraps a function that dials, whose connections are counted until they are closed.
func (o *OpenConns) By(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		o.add(1)
		return &countedConn{Conn: nc, closed: sync.OnceFunc(func() { o.add(-1) })}, nil
	}
}

func (o *OpenConns) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n += n
}

// Count is the number of connections that are open.
func (o *OpenConns) Count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.closed()
	return err
}
