package wstest

import "syscall"

// The errors of TCP that a Pipe and a Listener have, too. Plan 9 has no numbers for them.
var (
	errRefused = syscall.NewError("connection refused")
	errReset   = syscall.NewError("connection reset by peer")
	errPipe    = syscall.NewError("broken pipe")
)
