package websocket

import (
	stderrors "errors"
	"runtime/debug"
	"slices"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// serveFunc returns a function that calls the controller's Serve and wraps its error or panic in a
// Goyave error, which has a trace. It calls Serve directly: each further call would be on the stack
// of every waiting connection.
func (m *mounted) serveFunc(conn *Conn, request *goyave.Request) func() error {
	return func() (err error) {
		defer m.returned(&err)
		return errors.New(m.upgrader.Controller.Serve(conn, request))
	}
}

// guard calls the other functions that belong to a connection in the same way, among them the loop
// that handles its messages.
func (m *mounted) guard(call func() error) (err error) {
	defer m.returned(&err)
	return errors.New(call())
}

// returned is deferred: it recovers a panic and reports the result to the service.
func (m *mounted) returned(err *error) {
	if reason := recover(); reason != nil {
		trace := errors.NewSkip(reason, 4) // skipped: runtime.Callers, NewSkip, this function, runtime.gopanic
		*err = &PanicError{Value: trace, Stack: debug.Stack()}
	}
	m.service.returned(*err)
}

// tracedPanic returns the Goyave error of a panic that returned has recovered.
func tracedPanic(err error) (*errors.Error, bool) {
	p, ok := err.(*PanicError) //nolint:errorlint // if it is joined with other errors, it must not replace them
	if !ok {
		return nil, false
	}
	trace, ok := p.Value.(*errors.Error)
	return trace, ok && trace != nil
}

// goyaveError returns err as a Goyave error with a trace; for a panic, it is the trace of the
// panic. Joined errors become one error with several reasons, each with its own trace.
func goyaveError(err error) error {
	if trace, ok := tracedPanic(err); ok {
		return trace
	}
	if several := joined(err); several != nil {
		for i := range several {
			several[i] = goyaveError(several[i])
		}
		return errors.New(several)
	}
	return errors.New(err)
}

// joined returns the errors that errors.Join has combined in err. It returns nil for any other
// error, which may have a text of its own.
func joined(err error) []error {
	if _, ok := err.(*errors.Error); ok { //nolint:errorlint // its own text would be lost
		return nil
	}
	several, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != stderrors.Join(several.Unwrap()...).Error() {
		return nil
	}
	return slices.Clone(several.Unwrap())
}
