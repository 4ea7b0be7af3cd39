package wstest

import "syscall"

// These TCP errors are also errors of a Pipe and a Listener. Plan 9 has no error numbers for them.
var (
	errRefused = syscall.NewError("connection refused")
	errReset   = syscall.NewError("connection reset by peer")
	errPipe    = syscall.NewError("broken pipe")
)
