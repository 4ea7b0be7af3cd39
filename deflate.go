package websocket

import (
	"cmp"

	ws "github.com/gorilla/websocket"
)

// setCompression gives a new connection the level of the options; gorilla's too,
// for code that has only that.
func (c *Conn) setCompression(gorilla *ws.Conn, options *Options) {
	level := options.compressionLevel()
	c.uncompressed.Store(level == 0)
	level = cmp.Or(level, defaultCompressionLevel) // for who switches it on
	c.level.Store(int32(level))
	gorilla.EnableWriteCompression(!c.uncompressed.Load())
	_ = gorilla.SetCompressionLevel(level) // it was validated
}

// compresses reports whether a whole message of this size is to be compressed.
func (c *Conn) compresses(size int) bool {
	return c.t.deflate && !c.uncompressed.Load() && size >= c.options.compressionThreshold()
}
