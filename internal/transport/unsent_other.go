//go:build !linux

package transport

import "syscall"

// unsentOf can't tell: here progress is only what the kernel takes from us.
func unsentOf(syscall.RawConn) (n int, known bool) { return 0, false }
