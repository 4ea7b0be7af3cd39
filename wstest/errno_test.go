//go:build !plan9

package wstest_test

import "syscall"

// These TCP errors are also errors of a Pipe and a Listener.
const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
	errPipe    = syscall.EPIPE
)
