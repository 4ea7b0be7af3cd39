package websocket

import (
	stderrors "errors"
	"runtime/debug"
	"slices"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// serve returns a function that has the controller serve a connection, and makes Goyave's
// errors, which have a trace, of its errors and panics. It is one function and calls no
// other, as the stack of those who wait is small.
func (m *mounted) serve(conn *Conn, request *goyave.Request) func() error {
	return func() (err error) {
		defer m.returned(&err)
		return errors.New(m.upgrader.Controller.Serve(conn, request))
	}
}

// guard does the same for the other functions of a connection.
func (m *mounted) guard(call func() error) (err error) {
	defer m.returned(&err)
	return errors.New(call())
}

// returned recovers the function that defers it.
func (m *mounted) returned(err *error) {
	if reason := recover(); reason != nil {
		trace := errors.NewSkip(reason, 4) // skipped: runtime.Callers, NewSkip, this function, runtime.gopanic
		*err = &PanicError{Value: trace, Stack: debug.Stack()}
	}
	m.service.returned(*err)
}

// tracedPanic returns what returned made of a panic.
func tracedPanic(err error) (*errors.Error, bool) {
	p, ok := err.(*PanicError) //nolint:errorlint // joined with other errors it must not stand for them
	if !ok {
		return nil, false
	}
	trace, ok := p.Value.(*errors.Error)
	return trace, ok && trace != nil
}

// goyaveError returns the error as one of Goyave's, with a trace: that of the panic if
// it was one. Several are one with several reasons, each with its own trace.
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

// joined returns the errors that errors.Join put together, nil if err is another one,
// which may have a text of its own.
func joined(err error) []error {
	if _, ok := err.(*errors.Error); ok { //nolint:errorlint // what it wraps has its own text
		return nil
	}
	several, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != stderrors.Join(several.Unwrap()...).Error() {
		return nil
	}
	return slices.Clone(several.Unwrap())
}
