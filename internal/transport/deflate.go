package transport

import (
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// EnableCompression turns the compression of later messages on or off. It has no effect unless
// UseDeflate was called.
func (t *Conn) EnableCompression(enable bool) {
	if enable {
		t.flags.clear(writeUncompressed)
	} else {
		t.flags.set(writeUncompressed)
	}
}

// SetCompressionLevel sets the level of later messages, from flate.HuffmanOnly to
// flate.BestCompression.
func (t *Conn) SetCompressionLevel(level int) { t.level.Store(int32(level)) } //nolint:gosec // levels are small

// CompressionLevel returns the level of later messages.
func (t *Conn) CompressionLevel() int { return int(t.level.Load()) }

// Compresses reports whether messages that are written are compressed.
func (t *Conn) Compresses() bool { return t.deflate && !t.flags.has(writeUncompressed) }

// CompressesMessage reports whether a whole message of this size, in bytes, is compressed.
func (t *Conn) CompressesMessage(size int) bool {
	return size >= t.config.CompressionThreshold && t.Compresses()
}

// writeDeflated compresses a message and writes it in one frame. messageLock is held.
func (t *Conn) writeDeflated(b *WriteDeadline, opcode byte, p []byte) error {
	return deflate.Compress(p, t.CompressionLevel(), func(p []byte) error { return t.writeFrame(b, opcode|wire.BitRSV1, p) })
}
