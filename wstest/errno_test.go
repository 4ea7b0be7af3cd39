//go:build !plan9

package wstest_test

import "syscall"

// The errors of TCP that a Pipe and a Listener have, too.
const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
	errPipe    = syscall.EPIPE
)
