package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// An Error is a read or write that failed on the wire. It is a net.Error and wraps its cause.
type Error struct {
	Op   string // "read" or "write"
	Err  error
	Gone bool // the peer vanished; false where the caller's deadline or context ended the call
}

func (e *Error) Error() string { return "websocket: " + e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *Error) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Temporary is false: no call succeeds after one that failed.
func (e *Error) Temporary() bool { return false }

var _ net.Error = (*Error)(nil)

// ErrClosed is the error of calls on a connection that this end closed. It wraps net.ErrClosed.
var ErrClosed = fmt.Errorf("websocket: %w", net.ErrClosed)

// isDeadline reports whether a call of the socket failed because of a deadline that this end
// set. A timeout of the network's own is none: it means that the peer is gone.
func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
