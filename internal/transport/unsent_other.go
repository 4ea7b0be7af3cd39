//go:build !linux

package transport

import "syscall"

// unsentOf does not know: only what the kernel takes from us counts here.
func unsentOf(syscall.RawConn) (n int, known bool) { return 0, false }
