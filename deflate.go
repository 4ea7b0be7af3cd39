package websocket

import (
	"cmp"
	"compress/flate"
	"errors"
	"math"
)

// CompressionOff is the level at which nothing is compressed that is written: see
// Options.CompressionLevel.
const CompressionOff = math.MinInt32

var errLevel = errors.New("websocket: invalid compression level")

func isCompressionLevel(level int) bool {
	return level == CompressionOff || level >= flate.HuffmanOnly && level <= flate.BestCompression
}

// setCompression gives a new connection the level of the options.
func (c *Conn) setCompression() {
	_ = c.SetCompressionLevel(0)                          // for those who switch it on
	_ = c.SetCompressionLevel(c.options.compressionLevel) // it was validated
}

// EnableWriteCompression switches the compression of later messages, where it
// was negotiated; it is on then, unless the level is [CompressionOff]. Messages
// shorter than CompressionThreshold are not compressed all the same.
func (c *Conn) EnableWriteCompression(enable bool) { c.t.EnableCompression(enable) }

// SetCompressionLevel sets the level of later messages, on the scale of
// Options.CompressionLevel: 1 (fastest) to 9 (smallest), flate.DefaultCompression or
// flate.HuffmanOnly. Zero means 1. [CompressionOff] is EnableWriteCompression(false), and
// no other level switches compression on again. Any other number is an error.
func (c *Conn) SetCompressionLevel(level int) error {
	switch {
	case !isCompressionLevel(level):
		return errLevel
	case level == CompressionOff:
		c.t.EnableCompression(false)
	default:
		c.t.Level.Store(int32(cmp.Or(level, flate.BestSpeed)))
	}
	return nil
}
