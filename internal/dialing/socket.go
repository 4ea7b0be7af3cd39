package dialing

import (
	"errors"
	"net"

	"github.com/goyave-contrib/websocket/internal/strictconn"
)

var errExited = errors.New("DialContext was left by runtime.Goexit")

// openSocket opens a socket that is closed with the attempt. DialContext may ignore its context,
// so it runs on a goroutine of its own, and openSocket does not wait for it once the attempt has
// ended. If DialContext panics or calls runtime.Goexit, the attempt ends.
func (a *Attempt) openSocket(address string) (net.Conn, error) {
	if err := a.ctx.Err(); err != nil {
		return nil, err
	}
	dial := a.network.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	type result struct {
		nc  net.Conn
		err error
	}
	opened := make(chan result, 1)
	go func() {
		var r result
		returned := false
		defer func() {
			if !returned {
				r.err = a.dialExited(recover())
			}
			opened <- r
		}()
		r.nc, r.err = a.track(dial(a.ctx, "tcp", address))
		returned = true
	}()
	select {
	case r := <-opened:
		return r.nc, r.err
	case <-a.ctx.Done():
		return nil, a.ctx.Err()
	}
}

// dialExited ends the attempt because DialContext panicked with a value, or exited its goroutine:
// then the value is nil. It keeps the value for repanic.
func (a *Attempt) dialExited(value any) error {
	err := errExited
	if value != nil {
		err = a.network.Panics.New(value)
	}
	a.mu.Lock()
	a.panicked = value
	a.mu.Unlock()
	a.cancel(err)
	return err
}

// repanic repeats the panic of DialContext, if there was one, on the calling goroutine.
func (a *Attempt) repanic() {
	a.mu.Lock()
	value := a.panicked
	a.mu.Unlock()
	if value != nil {
		panic(value)
	}
}

// track records a socket, so that closeSockets closes it, and makes it keep the contract of
// net.Conn.
func (a *Attempt) track(nc net.Conn, err error) (net.Conn, error) {
	switch {
	case err != nil:
		return nil, err
	case nc == nil:
		return nil, errors.New("DialContext returned neither a connection nor an error")
	}
	nc = strictconn.Wrap(nc, a.network.Panics)
	a.mu.Lock()
	a.sockets = append(a.sockets, nc)
	abandoned := a.abandoned
	a.mu.Unlock()
	if abandoned { // closeSockets has closed the sockets recorded before it, and not this one
		_ = nc.Close()
		return nil, net.ErrClosed
	}
	return nc, nil
}

// closeSockets closes the sockets beneath TLS, and those that are opened later.
func (a *Attempt) closeSockets() {
	a.mu.Lock()
	a.abandoned = true
	sockets := a.sockets
	a.mu.Unlock()
	for _, socket := range sockets {
		_ = socket.Close()
	}
}
