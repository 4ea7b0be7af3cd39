package websocket

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

var (
	// ErrShutdown is the cause of a connection's context once its Endpoint shuts down or, with
	// Drain, once the connection has its turn. From then on, its reads fail with this error. It
	// is also the reason of an upgrade that is refused because of Shutdown or Drain. A Serve
	// that returns it, wrapped or not, ends its connection with Options.ShutdownClose, code 1001
	// (going away) by default; that end is not reported as a failure.
	ErrShutdown error = &endingError{text: "websocket: server shutting down", frame: shutdownFrame}

	// ErrPeerGone is the error of a connection whose peer stopped answering: see
	// Options.PongTimeout.
	ErrPeerGone = errors.New("websocket: peer is gone")
)

// ErrTooManyConnections is the reason of an upgrade that is refused because of
// Options.MaxConnections.
var ErrTooManyConnections = errors.New("websocket: too many connections")

// ErrQueueFull is the error of [Conn.Enqueue] if more would wait to be written than its
// limit allows: the peer reads too slowly. A Serve that returns it, wrapped or not, ends
// its connection with code 1013 (try again later), or with 1009 if a single message is
// longer than the limit; that end is not reported as a failure.
var ErrQueueFull error = &endingError{
	text:  "websocket: too much waits to be written",
	frame: &CloseError{Code: CloseTryAgainLater, Text: "too slow"},
}

// errMessageTooBig is ErrQueueFull for a message that does not fit even in an empty queue:
// trying again later would not help.
var errMessageTooBig error = &endingError{
	text:  "websocket: message is longer than the limit of the queue",
	frame: &CloseError{Code: CloseMessageTooBig, Text: "message too big"},
	is:    ErrQueueFull,
}

// NewCloseError returns an error for Serve to return: the connection is closed with this
// code and text, and that end is not reported as a failure. During a shutdown, it takes
// effect if Serve returns in time: see [Endpoint.Shutdown]. The text is truncated to 123
// bytes of valid UTF-8. With a code that may not be sent (see [ValidCloseCode]), the error
// is a failure like any other.
//
// The peer sees the text: put no secrets into it.
func NewCloseError(code int, text string) *CloseError {
	return &CloseError{Code: code, Text: text}
}

// An endingError has a close frame of its own: a Serve that returns it ends the connection
// with that frame, as with NewCloseError.
type endingError struct {
	text  string
	frame *CloseError
	is    error // a more general error that it matches; may be nil
}

func (e *endingError) Error() string { return e.text }
func (e *endingError) Unwrap() error { return e.frame }

// Is reports whether target is the more general error.
func (e *endingError) Is(target error) bool { return e.is != nil && target == e.is }

// ValidCloseCode reports whether a connection may be closed with the code by [Conn.Close],
// [NewCloseError] or a hub: 1000-1003, 1007-1014 and 3000-4999 (RFC 6455, 7.4, and the IANA
// registry), and 1005, which stands for an empty frame.
func ValidCloseCode(code int) bool { return code == CloseNoStatusReceived || wire.ValidCloseCode(code) }

// IsCloseError reports whether err is or wraps a *CloseError of an orderly end: code 1000
// (normal closure), 1001 (going away) or 1005 (no code). For other codes, use
// [CloseStatus].
func IsCloseError(err error) bool {
	switch CloseStatus(err) {
	case CloseNormalClosure, CloseGoingAway, CloseNoStatusReceived:
		return true
	default:
		return false
	}
}

// CloseStatus returns the code of the *CloseError that err is or wraps, or -1 if there is
// none.
func CloseStatus(err error) int {
	if ce := asCloseError(err); ce != nil {
		return ce.Code
	}
	return -1
}

// asCloseError returns the *CloseError that err is or wraps, nil if there is none. One that is
// not wrapped costs no allocation.
func asCloseError(err error) *CloseError {
	switch err := err.(type) { //nolint:errorlint // the wrapped ones follow
	case nil:
		return nil
	case *CloseError:
		return err
	}
	var ce *CloseError
	_ = errors.As(err, &ce)
	return ce
}

// IsDisconnect reports whether err is or wraps an error that a read or write of a
// connection returned because the peer vanished without a close frame: it hung up (code
// 1006), the network reset the connection, it stopped answering, or it took nothing of a
// frame for WriteTimeout.
func IsDisconnect(err error) bool {
	var failed *transport.Error
	return CloseStatus(err) == CloseAbnormalClosure ||
		errors.Is(err, ErrPeerGone) ||
		errors.As(err, &failed) && failed.Gone
}

// A PanicError is a recovered panic of a controller, of its MessageHandler, of a function given to
// Conn.Go or Conn.BeforeClose, or of the underlying net.Conn; or a runtime.Goexit in any but the
// last. It wraps the panic's value if that is an error.
type PanicError struct {
	Value any    // argument of panic; nil for runtime.Goexit
	Stack []byte // stack trace of the goroutine, from debug.Stack
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "websocket: controller left by runtime.Goexit"
	}
	return fmt.Sprintf("websocket: panic: %v", e.Value)
}

// Unwrap returns the panic's value if it is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recoveredPanics makes the transport return panics as *PanicError, too.
var recoveredPanics = &strictconn.Panics{New: newPanicError, Is: isPanic}

func newPanicError(value any) error { return &PanicError{Value: value, Stack: debug.Stack()} }

// isPanic reports whether err is or wraps a *PanicError.
func isPanic(err error) bool {
	switch err.(type) { //nolint:errorlint // the common cases, which need no allocation
	case nil, *CloseError:
		return false
	}
	var p *PanicError
	return errors.As(err, &p)
}

// ErrNotHandshake is wrapped by the reason of a refusal if the request does not ask for an
// upgrade or can't get one. For example, the URL was opened in a browser, or a proxy does
// not forward the upgrade. The reason says what is missing. The client receives it with or
// without Debug, and it is logged at debug level. The status is 426 if only the upgrade is
// missing (RFC 9110, 15.5.22).
var ErrNotHandshake = handshake.ErrNotHandshake
