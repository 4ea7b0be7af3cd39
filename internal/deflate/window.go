package deflate

import "github.com/goyave-contrib/websocket/internal/bufpool"

// Sizes of windows, as exponents of 2 (RFC 7692, 7.1.2).
const (
	MinWindowBits = 8
	MaxWindowBits = 15
)

// firstWindow is the size in bytes of the memory that a window begins with.
const firstWindow = 4 << 10

// memorySize returns the memory that a window has in b, in bytes.
func memorySize(b *bufpool.Buffer) int {
	if b.Memory == nil {
		return 0
	}
	return len(*b.Memory)
}
