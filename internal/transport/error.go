package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// An Error is a read or write that failed on the wire. It is a net.Error and
// wraps its cause.
type Error struct {
	Op   string // "read" or "write"
	Err  error
	Gone bool // the peer vanished; false for a deadline or context of the caller's
}

func (e *Error) Error() string { return "websocket: " + e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
func (e *Error) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}
func (e *Error) Temporary() bool { return false }

var _ net.Error = (*Error)(nil)

// ErrClosed is net.ErrClosed, of a connection of ours.
var ErrClosed = fmt.Errorf("websocket: %w", net.ErrClosed)

// isDeadline reports whether a call of the socket failed because of a deadline
// that was set. The network has timeouts of its own: they mean that the peer is
// gone.
func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
