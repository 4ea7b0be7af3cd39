package transport

import (
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/strictconn"
)

// Config is the settings of a Conn, with all defaults resolved. The connections of an Endpoint
// share one, and so each connection costs a pointer. It must not be changed once New has it.
type Config struct {
	// WriteTimeout bounds a write that makes no progress. Zero means no bound.
	WriteTimeout time.Duration

	// CloseTimeout is the first close timeout of a connection: see [Conn.SetCloseTimeout].
	CloseTimeout time.Duration

	// ReadLimit is the first limit of the size of a message, in bytes: see [Conn.SetReadLimit].
	ReadLimit int64

	// Client says that this end is the client.
	Client bool

	// Panics makes errors of panics of the net.Conn beneath. It must not be nil.
	Panics *strictconn.Panics

	// KeepSentAt says that LastSent must be exact, for heartbeats.
	KeepSentAt bool

	// SkipUTF8Validation says that text that is read need not be valid UTF-8.
	SkipUTF8Validation bool

	// CompressionThreshold is the least size in bytes of a whole message that is compressed,
	// if compression is on; TakeoverThreshold that where messages have the context of others.
	CompressionThreshold, TakeoverThreshold int

	// WriteBufferSize is how many bytes of a streamed message are collected for one frame.
	// Zero or less means 4 KiB.
	WriteBufferSize int

	// ReadBuffers is a pool of read buffers, without New. Connections with buffers of
	// different sizes may share it. It must not be nil.
	ReadBuffers *sync.Pool

	// ReadBufferSize is the size of a read buffer in bytes; less than 256 means 256. Zero or
	// less means 16 KiB for a buffer that is held only with bytes in it, and 4 KiB for one
	// that is held while the connection waits for the peer.
	ReadBufferSize int
}
