package transport

import (
	"syscall"
	"unsafe"
)

// unsentOf is how many bytes the kernel has that were written to a socket and that the
// peer's kernel has not taken (SIOCOUTQ, see tcp(7) and unix(7)).
func unsentOf(socket syscall.RawConn) (n int, known bool) {
	var bytes int32
	var errno syscall.Errno
	err := socket.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&bytes))) //nolint:gosec // the kernel writes an int
	})
	return int(bytes), err == nil && errno == 0
}
