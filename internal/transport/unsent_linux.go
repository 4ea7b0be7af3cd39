package transport

import (
	"syscall"
	"unsafe"
)

// unsentOf returns how many bytes that were written to a socket are in the kernel, because the
// peer's kernel has not acknowledged them (SIOCOUTQ: see tcp(7) and unix(7)). It reports whether
// the socket could be asked.
func unsentOf(socket syscall.RawConn) (n int, known bool) {
	var bytes int32
	var errno syscall.Errno
	err := socket.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&bytes))) //nolint:gosec // the kernel writes an int
	})
	return int(bytes), err == nil && errno == 0
}
