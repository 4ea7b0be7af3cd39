package testws

import (
	"context"
	"net"
	"sync"
)

// PlainListener accepts connections with only the methods of net.Conn, as wrappers of
// listeners do.
type PlainListener struct{ net.Listener }

// Accept returns a PlainConn.
func (l PlainListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return PlainConn{conn}, err
}

// PlainConn hides all methods of a connection beyond net.Conn.
type PlainConn struct{ net.Conn }

// OneConn is a listener that accepts the connections from Conns, until Conns is closed.
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

// Addr returns an empty address.
func (l OneConn) Addr() net.Addr { return &net.TCPAddr{} }

// OpenConns counts open connections.
type OpenConns struct {
	mu sync.Mutex
	n  int
}

// By wraps a function that dials. Its connections count until they are closed.
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

// Count returns the number of open connections.
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
