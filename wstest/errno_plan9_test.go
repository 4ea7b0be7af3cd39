package wstest_test

import "syscall"

// The errors of TCP that a Pipe and a Listener have, too.
var (
	errRefused = syscall.NewError("connection refused")
	errReset   = syscall.NewError("connection reset by peer")
	errPipe    = syscall.NewError("broken pipe")
)
