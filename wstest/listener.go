package wstest

import (
	"context"
	"net"
	"os"
	"sync"
)

var _ net.Listener = (*Listener)(nil)

// Listener is a [net.Listener] in memory. Its connections are those of [Pipe].
// All methods may be called from any goroutine at the same time. Use [Listen];
// the zero value is not ready to use.
//
// It has no goroutines of its own and works in a testing/synctest bubble.
type Listener struct {
	dials chan net.Conn
	done  chan struct{}
	once  sync.Once // closes done
}

// Listen returns a listener that is ready to accept and to be dialed.
func Listen() *Listener {
	return &Listener{dials: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for the next dial and returns the server's end. After Close it
// fails with an error that is [net.ErrClosed].
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

// Close releases every waiting Accept and DialContext. It does not close
// connections that were accepted. A second call fails with an error that is
// [net.ErrClosed].
func (l *Listener) Close() error {
	err := listenError("close", net.ErrClosed)
	l.once.Do(func() {
		close(l.done)
		err = nil
	})
	return err
}

// Addr returns the address that the accepted connections have as their local
// one. It is the same for all listeners.
func (l *Listener) Addr() net.Addr { return serverAddr }

// DialContext waits until the connection is accepted, as there is no backlog,
// and returns the client's end. It fails with an error that is
// [syscall.ECONNREFUSED] after Close, or that is the cause of ctx when ctx ends
// first. Later ctx has no hold on the connection.
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

// closed is asked before a select, which would choose at random between an end
// and a partner.
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
