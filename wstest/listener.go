package wstest

import (
	"context"
	"net"
	"os"
	"sync"
)

var _ net.Listener = (*Listener)(nil)

// Listener is a [net.Listener] in memory. Its connections are made by [Pipe]. All methods may be
// called concurrently, from any goroutine. [Listen] makes one; the zero value is not usable.
//
// A Listener has no goroutines and works in a testing/synctest bubble.
type Listener struct {
	dials chan net.Conn
	done  chan struct{}
	once  sync.Once // closes done
}

// Listen returns a listener that is ready to accept and to be dialed.
func Listen() *Listener {
	return &Listener{dials: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for the next dial and returns the server's end of the connection. After Close it
// returns an error that wraps [net.ErrClosed].
func (l *Listener) Accept() (net.Conn, error) {
	if l.closed() {
		return nil, listenError("accept", net.ErrClosed)
	}
	select {
	case server := <-l.dials:
		return server, nil
	case <-l.done:
		return nil, listenError("accept", net.ErrClosed)
	}
}

// Close makes every waiting Accept and DialContext fail. It does not close accepted connections. A
// second call returns an error that wraps [net.ErrClosed].
func (l *Listener) Close() error {
	err := listenError("close", net.ErrClosed)
	l.once.Do(func() {
		close(l.done)
		err = nil
	})
	return err
}

// Addr returns the local address of the accepted connections. It is the same for all listeners.
func (l *Listener) Addr() net.Addr { return serverAddr }

// DialContext waits until the connection is accepted, because there is no backlog, and returns the
// client's end. The error wraps [syscall.ECONNREFUSED] after Close, or the cause of ctx if ctx ends
// first. After a successful return, ctx does not affect the connection.
func (l *Listener) DialContext(ctx context.Context) (net.Conn, error) {
	if ctx.Err() != nil {
		return nil, listenError("dial", context.Cause(ctx))
	}
	if l.closed() {
		return nil, refused()
	}
	client, server := Pipe()
	select {
	case l.dials <- server:
		return client, nil
	case <-l.done:
		return nil, refused()
	case <-ctx.Done():
		return nil, listenError("dial", context.Cause(ctx))
	}
}

// closed reports whether Close was called. A select alone would choose at random if there is also a
// partner to connect with.
func (l *Listener) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func refused() error {
	return listenError("dial", os.NewSyscallError("connect", errRefused))
}

func listenError(op string, err error) error {
	return &net.OpError{Op: op, Net: serverAddr.Network(), Addr: serverAddr, Err: err}
}
