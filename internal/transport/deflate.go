package transport

import (
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// EnableCompression switches the compression of later messages.
func (t *Conn) EnableCompression(enable bool) {
	if enable {
		t.under.clear(writeUncompressed)
	} else {
		t.under.set(writeUncompressed)
	}
}

// SetCompressionLevel sets the level of later messages, on the scale of package flate.
func (t *Conn) SetCompressionLevel(level int) { t.level.Store(int32(level)) } //nolint:gosec // levels are small

// CompressionLevel returns the level of later messages.
func (t *Conn) CompressionLevel() int { return int(t.level.Load()) }

// Compresses reports whether messages are compressed that are written.
func (t *Conn) Compresses() bool { return t.deflate && !t.under.has(writeUncompressed) }

// CompressesMessage reports whether a whole message of this size is.
func (t *Conn) CompressesMessage(size int) bool {
	return size >= t.config.CompressionThreshold && t.Compresses()
}

// writeDeflated writes a message in one frame, compressed.
func (t *Conn) writeDeflated(b *WriteDeadline, opcode byte, p []byte) error {
	return deflate.Compress(p, t.CompressionLevel(), func(p []byte) error { return t.WriteFrame(b, opcode|wire.BitRSV1, p) })
}
