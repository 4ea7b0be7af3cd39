package serving

import "github.com/goyave-contrib/websocket"

// Compression returns the options of this library for a mode.
func Compression(m Mode) (mode websocket.CompressionMode, maxWindowBits int) {
	switch bits := m.WindowBits(); {
	case bits > 0:
		return websocket.CompressionContextTakeover, bits
	case m.Compresses():
		return websocket.CompressionNoContextTakeover, 0
	default:
		return websocket.CompressionDisabled, 0
	}
}
