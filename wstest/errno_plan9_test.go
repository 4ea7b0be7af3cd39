package wstest_test

import "syscall"

// These TCP errors are also errors of a Pipe and a Listener.
var (
	errRefused = syscall.NewError("connection refused")
	errReset   = syscall.NewError("connection reset by peer")
	errPipe    = syscall.NewError("broken pipe")
)
